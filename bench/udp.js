/**
 * UDP echo: `node bench/udp.js [MODE...] [--rounds 5] [--seconds 1] [--flight 64] [--size 64]
 * [--sockets 1]`.
 *
 *   ringloop    a protocol of ringloop's
 *   dgram       node:dgram
 *
 * A server of each mode in a process of its own, and one client in another, the same for all, which
 * keeps a number of datagrams in flight, from so many sockets. Rounds are interleaved. Prints the medians of datagrams
 * echoed in a second, and in a second of the server's CPU time; on a machine with other work only
 * the latter means anything. `--profile DIR`: the servers write CPU profiles.
 */
'use strict';
const { fork } = require('node:child_process');
const { once } = require('node:events');
const { parseArgs } = require('node:util');

const HOST = '127.0.0.1';

const SERVERS = {
  async ringloop() {
    const { createDatagramEndpoint, DatagramProtocol, run } = require('..');
    class Echo extends DatagramProtocol {
      connectionMade(transport) {
        this.transport = transport;
      }

      datagramReceived(data, address) {
        this.transport.sendTo(data, address);
      }
    }
    const [transport] = await run(() =>
      createDatagramEndpoint(() => new Echo(), { localAddr: [HOST, 0] }),
    );
    return transport.getExtraInfo('sockname').port;
  },

  async dgram() {
    const socket = require('node:dgram').createSocket('udp4');
    socket.on('message', (data, { port, address }) => socket.send(data, port, address));
    socket.bind(0, HOST);
    await once(socket, 'listening');
    return socket.address().port;
  },
};

async function serve(mode) {
  process.on('message', (request) => {
    if (request === 'usage') process.send(process.cpuUsage());
    else process.exit();
  });
  process.send(await SERVERS[mode]());
}

/** Every answer is answered with the next question. */
async function flood(port, flight, size, seconds, sockets) {
  const { createDatagramEndpoint, DatagramProtocol, run, sleep } = require('..');
  const question = Buffer.alloc(size, 'x');
  const transports = [];
  let count = 0;
  class Client extends DatagramProtocol {
    connectionMade(transport) {
      this.transport = transport;
    }

    datagramReceived() {
      count++;
      this.transport.sendTo(question);
    }
  }
  await run(function* () {
    for (let i = 0; i < sockets; i++) {
      const options = { remoteAddr: [HOST, port] };
      const [transport] = yield* createDatagramEndpoint(() => new Client(), options);
      transports.push(transport);
    }
    const endMs = performance.now() + seconds * 1000;
    let before = -1;
    while (performance.now() < endMs) {
      // At the beginning, and where the kernel has dropped them all.
      if (count === before || before < 0) {
        for (let i = 0; i < flight; i++) transports[i % sockets].sendTo(question);
      }
      before = count;
      yield* sleep(20);
    }
    for (const transport of transports) transport.abort();
  });
  process.send(count);
}

const tell = async (child, message) => {
  child.send(message);
  return (await once(child, 'message'))[0];
};

async function measure(server, { flight, size, seconds, sockets }) {
  const before = await tell(server.child, 'usage');
  const args = [server.port, flight, size, seconds, sockets].map(String);
  const client = fork(__filename, ['client', ...args]);
  const [count] = await once(client, 'message');
  const after = await tell(server.child, 'usage');
  const cpuS = (after.user + after.system - before.user - before.system) / 1e6;
  return { rate: count / seconds, perCpu: count / cpuS };
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];

async function start(mode, profile) {
  const execArgv = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
  const child = fork(__filename, ['server', mode], { execArgv });
  const [port] = await once(child, 'message');
  return { mode, child, port, rates: [], perCpu: [] };
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '1' },
      flight: { type: 'string', default: '64' },
      size: { type: 'string', default: '64' },
      sockets: { type: 'string', default: '1' },
      profile: { type: 'string' },
    },
  });
  const modes = positionals.length > 0 ? positionals : Object.keys(SERVERS);
  const servers = await Promise.all(modes.map((mode) => start(mode, values.profile)));
  for (const server of servers) await measure(server, { ...values, seconds: 0.5 }); // warm
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const server of servers) {
      const { rate, perCpu } = await measure(server, values);
      server.rates.push(rate);
      server.perCpu.push(perCpu);
    }
  }
  for (const { mode, rates, perCpu, child } of servers) {
    const perSecond = Math.round(median(rates)).toLocaleString('en');
    const perCpuSecond = Math.round(median(perCpu)).toLocaleString('en');
    console.log(
      `${mode.padEnd(10)} ${perSecond.padStart(9)}/s ${perCpuSecond.padStart(9)}/s of its CPU`,
    );
    child.send('exit');
  }
  if (servers.length < 2) return;
  const [first, second] = servers;
  const ratios = first.perCpu.map((each, i) => each / second.perCpu[i]);
  console.log(`${first.mode} / ${second.mode}: ${median(ratios).toFixed(2)} by CPU time`);
}

const [role, ...args] = process.argv.slice(2);
if (role === 'server') serve(args[0]);
else if (role === 'client') flood(...args.map(Number));
else main();
