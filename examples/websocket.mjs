// A chat over WebSockets: `ws` and `node:http` do the protocol, as in any other program, and each
// client is a task. What it sends comes from a channel, what it gets from a subscription, a third
// coroutine looks whether it is still there; when the socket is closed all of them are cancelled.
// `node examples/websocket.mjs` lets two clients talk.
import { once } from 'node:events';
import { createServer } from 'node:http';
import {
  broadcast,
  EndOfChannel,
  Future,
  isCancelledError,
  Lagged,
  Lock,
  memoryChannel,
  moveOnAfter,
  run,
  sleep,
  taskGroup,
  until,
  withLock,
} from 'ringloop';
import { WebSocket, WebSocketServer } from 'ws';
import { isProgram } from './services/program.mjs';

const DEFAULTS = {
  /** How many messages a client may be behind. */
  behind: 16,
  /** Between pings; who has not answered one when the next is due is cut off. */
  heartbeatMs: 10_000,
  /** For the clients to say good-bye, too. */
  graceMs: 2000,
  maxPayload: 1024 * 1024,
};
/** From here on a client is not read from: TCP makes it wait. */
const AHEAD = 16;
const GOING_AWAY = 1001;
const TRY_AGAIN_LATER = 1013;

/** Waits until the operating system has taken a message: from who is slow it does not at once. */
function* send(socket, text) {
  const taken = new Future();
  socket.send(text, () => taken.done() || taken.setResult());
  if (socket.bufferedAmount > 0) yield* taken;
}

/** What is said here is heard by everybody. */
class Room {
  #news;
  #turn = new Lock();

  constructor(behind) {
    // Who is too far behind gets what it has, and is disconnected; the others do not wait for it.
    this.#news = broadcast({ capacity: behind, slow: 'disconnect' });
  }

  enter() {
    return this.#news.subscribe();
  }

  /** One message at a time. Who is not slow has passed it on before the next one. */
  *say(text) {
    const news = this.#news;
    yield* withLock(this.#turn, function* () {
      yield* news.send(text);
      yield* sleep(0);
    });
  }
}

class Client {
  #socket;
  #room;
  #news;
  #messages;

  // Listens at once: what is missed here is lost.
  constructor(socket, room) {
    this.#socket = socket;
    this.#room = room;
    this.#news = room.enter();
    const [sender, receiver] = memoryChannel(Infinity);
    this.#messages = receiver;
    socket.on('message', (data) => {
      sender.sendNowait(data.toString());
      if (sender.statistics().size >= AHEAD) socket.pause();
    });
    socket.on('close', () => sender.close());
    socket.on('error', () => {}); // it is closed next
  }

  /** Until the socket is closed. */
  *serve(heartbeatMs) {
    const client = this;
    try {
      yield* taskGroup(function* (group) {
        group.createTask(client.#sendNews());
        group.createTask(client.#heartbeat(heartbeatMs));
        yield* client.#relay();
        group.cancel();
      });
    } finally {
      this.#news.close();
      this.#socket.resume(); // to read its good-bye
      this.#socket.close(GOING_AWAY, 'the server is going away');
    }
  }

  *#relay() {
    try {
      for (;;) {
        const text = yield* this.#messages.receive();
        if (this.#messages.statistics().size === 0) this.#socket.resume();
        yield* this.#room.say(text);
      }
    } catch (error) {
      if (!(error instanceof EndOfChannel)) throw error;
    }
  }

  *#sendNews() {
    try {
      for (;;) yield* send(this.#socket, yield* this.#news.receive());
    } catch (error) {
      if (!(error instanceof Lagged)) throw error;
      this.#socket.close(TRY_AGAIN_LATER, 'too slow');
    }
  }

  *#heartbeat(everyMs) {
    let alive = true;
    this.#socket.on('pong', () => {
      alive = true;
    });
    while (alive) {
      alive = false;
      this.#socket.ping();
      yield* sleep(everyMs);
    }
    this.#socket.terminate();
  }
}

class Chat {
  #http = createServer((_request, response) => response.end('a chat: use a WebSocket\n'));
  #server;
  #room;
  #arrivals;
  #settings;

  constructor(settings) {
    const { behind, maxPayload } = settings;
    this.#settings = settings;
    this.#room = new Room(behind);
    this.#server = new WebSocketServer({ server: this.#http, maxPayload });
    const [sender, receiver] = memoryChannel(Infinity);
    this.#arrivals = receiver;
    this.#server.on('connection', (socket) => sender.sendNowait(new Client(socket, this.#room)));
  }

  async listen() {
    this.#http.listen(0, '127.0.0.1');
    await once(this.#http, 'listening');
    return `ws://127.0.0.1:${this.#http.address().port}/`;
  }

  /** Until it is cancelled. */
  *serve() {
    const chat = this;
    const { heartbeatMs } = this.#settings;
    try {
      yield* taskGroup(function* (group) {
        for (;;) {
          const client = yield* chat.#arrivals.receive();
          group.createTask(client.serve(heartbeatMs));
        }
      });
    } finally {
      yield* this.#close();
    }
  }

  /** Every client has been told. Who does not answer in time is cut off. */
  *#close() {
    this.#http.close();
    this.#server.close();
    yield* moveOnAfter(this.#settings.graceMs, () => until(once(this.#server, 'close')));
    for (const socket of this.#server.clients) socket.terminate();
  }
}

/**
 * Starts a chat.
 *
 * @param settings - in place of those of `DEFAULTS`
 * @returns `url`, and `stop()`, which returns a promise; once it listens
 */
export async function startChat(settings = {}) {
  const chat = new Chat({ ...DEFAULTS, ...settings });
  const url = await chat.listen();
  const controller = new AbortController();
  const over = run(chat.serve(), { signal: controller.signal });
  return {
    url,
    async stop() {
      controller.abort('it is late');
      await over.catch((error) => {
        if (!isCancelledError(error)) throw error;
      });
    },
  };
}

async function join(url, name) {
  const socket = new WebSocket(url);
  socket.on('message', (text) => console.log(`${name} reads: ${text}`));
  socket.on('close', (code, reason) => console.log(`${name} is told: ${code}, ${reason}`));
  await once(socket, 'open');
  return socket;
}

/** What both have read before the next one speaks. */
async function say(speaker, others, text) {
  const heard = Promise.all([speaker, ...others].map((socket) => once(socket, 'message')));
  speaker.send(text);
  await heard;
}

async function demonstrate() {
  const chat = await startChat();
  const ann = await join(chat.url, 'Ann');
  const bob = await join(chat.url, 'Bob');
  await say(ann, [bob], 'Is anybody here?');
  await say(bob, [ann], 'Hello, Ann!');
  const closed = Promise.all([ann, bob].map((socket) => once(socket, 'close')));
  await chat.stop();
  await closed;
}

if (isProgram(import.meta.url)) await demonstrate();
