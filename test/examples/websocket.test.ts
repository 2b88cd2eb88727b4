/** The chat: what everybody gets, who is too slow, who is not there any more, and its end. */
import assert from 'node:assert/strict';
import { type EventEmitter, once } from 'node:events';

import { loadExample, runExample } from '../support/examples.js';

/** What takes this long happens in no test. */
const NEVER_MS = 600_000;
const MUCH = 1024 * 1024;
/** More than the kernel keeps for a connection. */
const MORE_THAN_FITS = 40;

interface Chat {
  url: string;
  stop(): Promise<void>;
}

/** The client of `ws`, as far as the tests need it; the package has no types. */
interface Socket extends EventEmitter {
  send(text: string): void;
  pause(): void;
  resume(): void;
  terminate(): void;
}

type Options = Record<string, unknown>;

const chats: Chat[] = [];
const sockets: Socket[] = [];

async function startChat(settings: Options = {}): Promise<Chat> {
  const { startChat: start } = await loadExample('websocket.mjs');
  const chat: Chat = await start({ heartbeatMs: NEVER_MS, graceMs: NEVER_MS, ...settings });
  chats.push(chat);
  return chat;
}

/** A client, and what it was sent so far. */
async function join({ url }: Chat, options: Options = {}): Promise<[Socket, string[]]> {
  const { WebSocket } = require('ws');
  const socket: Socket = new WebSocket(url, options);
  const messages: string[] = [];
  sockets.push(socket);
  socket.on('message', (data) => messages.push(String(data)));
  await once(socket, 'open');
  return [socket, messages];
}

async function untilReceived(socket: Socket, messages: string[], count: number): Promise<void> {
  while (messages.length < count) await once(socket, 'message');
}

describe('examples/websocket.mjs', () => {
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.terminate();
    await Promise.all(chats.splice(0).map((chat) => chat.stop()));
  });

  it('sends to everybody what somebody says, in the same order, though it comes in bursts', async () => {
    const chat = await startChat({ behind: 2 });
    const clients = [await join(chat), await join(chat), await join(chat)];
    for (let i = 0; i < 50; i++) clients[i % 3]![0].send(`message ${i}`);
    for (const [socket, messages] of clients) await untilReceived(socket, messages, 50);
    const [[, first], ...others] = clients as [[Socket, string[]], ...[Socket, string[]][]];
    assert.equal(new Set(first).size, 50);
    for (const [, messages] of others) assert.deepEqual(messages, first);
  });

  it('reads on when a client has sent more than it reads ahead', async () => {
    const chat = await startChat();
    const [socket, messages] = await join(chat);
    const sent = Array.from({ length: 500 }, (_, i) => `message ${i}`);
    for (const text of sent) socket.send(text);
    await untilReceived(socket, messages, sent.length);
    assert.deepEqual(messages, sent);
  });

  it('disconnects a client that is too slow, and the others do not wait for it', async () => {
    const chat = await startChat({ behind: 2 });
    const [slow, got] = await join(chat);
    const [talker, messages] = await join(chat);
    slow.pause();
    for (let i = 1; i <= MORE_THAN_FITS; i++) {
      talker.send(`${i}`.padEnd(MUCH));
      await untilReceived(talker, messages, i);
    }
    const closed = once(slow, 'close');
    slow.resume();
    const [code, reason] = await closed;
    assert.deepEqual([code, String(reason)], [1013, 'too slow']);
    assert.deepEqual(got, messages.slice(0, got.length));
    assert.ok(got.length > 0 && got.length < MORE_THAN_FITS, `${got.length} messages`);
  });

  it('cuts off a client that answers no ping', async () => {
    const chat = await startChat({ heartbeatMs: 20 });
    const [mute] = await join(chat, { autoPong: false });
    const [code] = await once(mute, 'close');
    assert.equal(code, 1006);
  });

  it('goes on when a client breaks the protocol', async () => {
    const chat = await startChat({ maxPayload: 10 });
    const [rude] = await join(chat);
    const [polite, messages] = await join(chat);
    rude.send('far too long');
    const [code] = await once(rude, 'close');
    assert.equal(code, 1009);
    polite.send('hello');
    await untilReceived(polite, messages, 1);
    assert.deepEqual(messages, ['hello']);
  });

  it('says good-bye to everybody when it is stopped', async () => {
    const chat = await startChat();
    const clients = [await join(chat), await join(chat)];
    const closed = clients.map(([socket]) => once(socket, 'close'));
    await chat.stop();
    for (const [code, reason] of await Promise.all(closed)) {
      assert.deepEqual([code, String(reason)], [1001, 'the server is going away']);
    }
  });

  it('does not wait for long for those who say nothing', async () => {
    const chat = await startChat({ graceMs: 20 });
    const [socket] = await join(chat);
    socket.pause();
    await chat.stop();
    socket.resume();
    await once(socket, 'close');
  });

  it('lets two clients talk as a program, and exits by itself', async () => {
    const { code, stdout, stderr } = await runExample('websocket.mjs');
    assert.deepEqual([code, stderr], [0, '']);
    const linesOf = (name: string): string[] =>
      stdout.split('\n').filter((line) => line.startsWith(name));
    for (const name of ['Ann', 'Bob']) {
      assert.deepEqual(linesOf(name), [
        `${name} reads: Is anybody here?`,
        `${name} reads: Hello, Ann!`,
        `${name} is told: 1001, the server is going away`,
      ]);
    }
  });
});
