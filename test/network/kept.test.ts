// What a person has made of networks outlives the host, however it ends.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bed } from '../host/bed.ts';
import { Servers } from './traffic.ts';

async function free(): Promise<number> {
  const servers = new Servers();
  const port = await servers.listen(() => {});
  servers.close();
  return port;
}

test('networks and forwarded ports are there again with the next host', async () => {
  const h = new Bed();
  try {
    const port = await free();
    for (const again of [false, true]) {
      await h.up('--memory', '64');
      const run = async (...args: string[]): Promise<string> => {
        const { code, out, err } = await h.run('xenolith', ['net', ...args]);
        assert.deepEqual([code, err], [0, '']);
        return out;
      };
      if (!again) {
        await run('create', 'lab', '--subnet', '10.9.0.0/24', '--host-loopback');
        await run('create', 'gone', '--isolated');
        await run('create', 'alone', '--isolated');
        await run('remove', 'gone');
        await run('forward', 'lab', `${port}:10.9.0.15:80`);
      }
      const list = await run('list');
      assert.match(list, new RegExp(`lab: 10.9.0.0/24[^]*forward tcp:127.0.0.1:${port}:10.9.0.15:80`));
      assert.match(list, /alone/);
      assert.doesNotMatch(list, /gone/);
      await h.end(again ? 'SIGTERM' : 'SIGKILL');
    }
  } finally {
    await h.close();
  }
});
