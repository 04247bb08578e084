// Two stacks on one wire, for tests and measurements: one opens connections and sends on them, the other one listens.
import { createHash, randomBytes, type Hash } from 'node:crypto';
import { CONNECTIONS, Stack } from './stack.ts';

const CLIENT = Uint8Array.of(10, 0, 2, 15);
const SERVER = Uint8Array.of(192, 0, 2, 34);
const IP_HEADER = 20;
const TCP_FLAGS = IP_HEADER + 13;
const SYN_ONLY = 0x02;
const SYN_AND_ACK = 0x12;

export interface Transfer {
  bytes: number;
  connections: number;
  /** Whether packets may stand for several segments. */
  large: boolean;
  /** Share of packets that are lost. */
  loss?: number;
  random?: () => number;
}

interface Stream {
  sent: number;
  received: number;
  told: Hash;
  heard: Hash;
}

/** Sends as many bytes as said, spread over the connections; whether each stream arrived as it was sent. */
export async function transfer({ bytes, connections, large, loss = 0, random = Math.random }: Transfer) {
  const chunk = randomBytes(1 << 20);
  const each = Math.ceil(bytes / connections);
  const hash = () => createHash('sha1');
  const streams: Stream[] = Array.from({ length: connections }, () => ({ sent: 0, received: 0, told: hash(), heard: hash() })); // prettier-ignore
  const finished = new Set<number>();

  const queues: { client: Uint8Array[]; server: Uint8Array[] } = { client: [], server: [] };
  let packets = 0;
  let errors = 0;
  let ended = 0;
  let scheduled = false;
  const { promise, resolve } = Promise.withResolvers<void>();

  const carry = (queue: keyof typeof queues) => (packet: Uint8Array) => {
    packets++;
    if (random() < loss) return;
    queues[queue].push(packet.slice());
    if (!scheduled) setImmediate(pump);
    scheduled = true;
  };
  function feed(id: number): void {
    const stream = streams[id]!;
    while (stream.sent < each) {
      const at = stream.sent % chunk.length;
      const part = chunk.subarray(at, at + each - stream.sent);
      const taken = client.write(id, part);
      if (taken === 0) return;
      stream.told.update(part.subarray(0, taken));
      stream.sent += taken;
    }
    if (!finished.has(id)) client.finish(id);
    finished.add(id);
  }
  function take(id: number, part: Uint8Array | undefined): void {
    if (part) {
      const stream = streams[id]!;
      stream.heard.update(part);
      stream.received += part.length;
      server.consumed(id, part.length);
    } else {
      server.finish(id);
      if (++ended === connections) resolve();
    }
  }
  const nothing = () => {};
  const gone = (_id: number, error: number) => void (errors += error === 0 ? 0 : 1);
  const options = { largeV4: large };
  const client: Stack = new Stack({ output: carry('server'), opened: feed, sent: feed, received: nothing, gone }, options); // prettier-ignore
  const server: Stack = new Stack({ output: carry('client'), opened: nothing, sent: nothing, received: take, gone }, options); // prettier-ignore

  function pump(): void {
    scheduled = false;
    const { client: toClient, server: toServer } = queues;
    queues.client = [];
    queues.server = [];
    for (const packet of toServer) {
      const opens = (packet[TCP_FLAGS]! & SYN_AND_ACK) === SYN_ONLY;
      const port = packet[IP_HEADER]! * 256 + packet[IP_HEADER + 1]!;
      const id = port - 1000;
      server.input(packet, IP_HEADER, opens ? id : CONNECTIONS);
    }
    server.flush();
    for (const packet of toClient) client.input(packet, IP_HEADER);
    client.flush();
  }

  const start = performance.now();
  const cpu = process.cpuUsage();
  for (let id = 0; id < connections; id++) errors += client.connect(id, CLIENT, 1000 + id, SERVER, 80) === 0 ? 0 : 1;
  await promise;
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  client.close();
  server.close();
  const equal = streams.every(({ told, heard, sent, received }) => {
    return sent === each && received === each && told.digest('hex') === heard.digest('hex');
  });
  return {
    equal,
    errors,
    packets,
    seconds,
    cpu: (user + system) / 1e6,
    memory: Math.max(client.memory, server.memory),
  };
}
