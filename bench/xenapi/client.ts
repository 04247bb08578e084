// The clients of `npm run bench xenapi`, in a process of their own: one job at a time, as the server's process says.
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';

/** What is to be done, against the server on that port. */
export type Job =
  | { what: 'json' | 'json2' | 'xml'; method: string; params: unknown[] }
  | { what: 'many'; method: string; count: number }
  | { what: 'get'; path: string }
  | { what: 'xe'; line: string[] }
  | { what: 'storm'; method: string; params: unknown[][]; connections: number }
  | { what: 'watch'; clients: number; seconds: number };
export interface Order {
  port: number;
  session: string;
  job: Job;
}
export interface Result {
  ms: number;
  bytes: number;
  /** Milliseconds from each change until it was told. */
  latencies: number[];
}

const agent = new Agent({ keepAlive: true, maxSockets: 500 });
/** Of those that send a storm. */
const few = (connections: number): Agent => new Agent({ keepAlive: true, maxSockets: connections });

/** The bytes of an answer; they are not joined unless they are wanted. */
export function send(port: number, method: string, path: string, body = '', by = agent): Promise<Buffer[]> {
  return new Promise((resolve, reject) => {
    const sent = request({ port, path, method, agent: by, host: '127.0.0.1' }, (response) => {
      const parts: Buffer[] = [];
      if (response.statusCode !== 200) reject(new Error(`${path}: ${response.statusCode}`));
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () => resolve(parts));
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

export async function rpc(port: number, by: Agent | undefined, method: string, ...params: unknown[]): Promise<never> {
  const parts = await send(port, 'POST', '/jsonrpc', JSON.stringify({ method, params, id: 0 }), by);
  const { result, error } = JSON.parse(Buffer.concat(parts).toString()) as { result: never; error: string[] | null };
  if (error) throw new Error(`${method}: ${error.join(' ')}`);
  return result;
}

const xmlText = (value: unknown): string => {
  if (Array.isArray(value)) return `<value><array><data>${value.map(xmlText).join('')}</data></array></value>`;
  if (typeof value === 'number') return `<value><double>${value}</double></value>`;
  return `<value>${String(value).replaceAll('&', '&amp;').replaceAll('<', '&lt;')}</value>`;
};

function call({ port, session, job }: Order & { job: { what: 'json' | 'json2' | 'xml' } & Job }): Promise<Buffer[]> {
  const { what, method } = job;
  const params = [session, ...job.params];
  if (what === 'xml') {
    const list = params.map((each) => `<param>${xmlText(each)}</param>`).join('');
    const text = `<methodCall><methodName>${method}</methodName><params>${list}</params></methodCall>`;
    return send(port, 'POST', '/', text);
  }
  const version = what === 'json2' ? { jsonrpc: '2.0' } : {};
  return send(port, 'POST', '/jsonrpc', JSON.stringify({ ...version, method, params, id: 0 }));
}

/** A command of the thin CLI, whose client only reads. */
async function xe(port: number, session: string, line: string[]): Promise<Buffer[]> {
  const body = [`session_id=${session}`, ...line].join('\n');
  const socket = connect(port, '127.0.0.1');
  const parts: Buffer[] = [];
  socket.on('data', (part: Buffer) => parts.push(part));
  const greeting = Buffer.concat([Buffer.from('XenSource thin CLI protocol'), Buffer.from([0, 0, 0, 0, 2, 0, 0, 0])]);
  socket.write(`POST /cli HTTP/1.0\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  socket.write(greeting);
  await once(socket, 'close');
  return parts;
}

/** Until all tasks have ended. */
async function storm(port: number, session: string, job: Job & { what: 'storm' }): Promise<void> {
  const by = few(job.connections);
  let { token }: { token: string } = await rpc(port, undefined, 'event.from', session, ['task'], '', 0);
  const tasks = new Set<string>(
    await Promise.all(job.params.map((params) => rpc(port, by, `Async.${job.method}`, session, ...params) as Promise<string>)),
  ); // prettier-ignore
  type Told = { token: string; events: { ref: string; snapshot?: { status: string; error_info: string[] } }[] };
  while (tasks.size > 0) {
    const told: Told = await rpc(port, undefined, 'event.from', session, ['task'], token, 30);
    token = told.token;
    for (const { ref, snapshot } of told.events) {
      if (snapshot?.status === 'failure') throw new Error(`${job.method}: ${snapshot.error_info.join(' ')}`);
      if (snapshot?.status === 'success') tasks.delete(ref);
    }
  }
  by.destroy();
}

/** From when a change was written into an object until each client has it, or a later one of the same object. */
async function watch(
  port: number,
  session: string,
  { clients, seconds }: { clients: number; seconds: number },
): Promise<number[]> {
  const latencies: number[] = [];
  const end = Date.now() + seconds * 1000;
  const [pool]: string[] = await rpc(port, undefined, 'pool.get_all', session);
  const one = async (): Promise<void> => {
    // Not the 10,000 at the beginning: they are measured by themselves.
    let token: string = await rpc(port, undefined, 'event.inject', session, 'pool', pool);
    while (Date.now() < end) {
      const batch: { token: string; events: { snapshot: { name_description: string } }[] } =
        await rpc(port, undefined, 'event.from', session, ['vm'], token, 1); // prettier-ignore
      token = batch.token;
      const now = Date.now();
      for (const { snapshot } of batch.events) latencies.push(now - Number(snapshot.name_description));
    }
  };
  await Promise.all(Array.from({ length: clients }, one));
  return latencies;
}

async function work(order: Order): Promise<{ bytes: number; latencies: number[] }> {
  const { port, session, job } = order;
  let parts: Buffer[] = [];
  let latencies: number[] = [];
  switch (job.what) {
    case 'many': {
      const one = (i: number) =>
        call({ ...order, job: { what: i % 2 === 0 ? 'json' : 'xml', method: job.method, params: [] } });
      parts = (await Promise.all(Array.from({ length: job.count }, (_, i) => one(i)))).flat();
      break;
    }
    case 'get':
      parts = await send(port, 'GET', `${job.path}&session_id=${session}`);
      break;
    case 'xe':
      parts = await xe(port, session, job.line);
      break;
    case 'storm':
      await storm(port, session, job);
      break;
    case 'watch':
      latencies = await watch(port, session, job);
      break;
    default:
      parts = await call({ ...order, job });
  }
  return { bytes: parts.reduce((sum, part) => sum + part.length, 0), latencies };
}

process.on('message', (order: Order) => {
  const before = performance.now();
  void work(order).then((done) => process.send!({ ...done, ms: performance.now() - before } satisfies Result));
});
