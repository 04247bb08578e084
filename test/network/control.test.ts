// netif's control ring over the hypervisor, by front ends of our own (guests/netif): Debian's has none.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { buildGuest } from '../../guests/build.ts';
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { buildDomain } from '../../services/domain_builder/protocol/index.ts';
import { LocalClient } from '../../services/xenstore/protocol/client.ts';
import { Host } from '../../services/xenops/host.ts';
import { invariants } from '../invariants.ts';

const MEMORY = 4 << 20;
const LONGEST_MS = 30_000;
const machine = new Machine({ memory: 3 * MEMORY + (24 << 20) }, loadCore());
const host = new Host(machine);
let failure: Error | undefined;
machine.onFailure((error) => (failure = error));
after(() => host.stop());

class Player {
  output = '';
  domid = 0;
  readonly #kernel = readFileSync(buildGuest('netif'));

  async start(what: string, mac: number): Promise<void> {
    const network = await host.vifs.network('lab');
    const options = { mac, bridge: 'lab', vlan: { access: 0 }, addresses: [], rate: undefined, mtu: 1500, trusted: true, vifname: undefined, notes: {} }; // prettier-ignore
    const plan = buildDomain({ kernel: this.#kernel, cmdline: what, memory: MEMORY });
    const write = (bytes: Uint8Array): void => void (this.output += Buffer.from(bytes).toString('latin1'));
    const { domid } = host.create({ name: what, plan, memoryKib: MEMORY / 1024, vcpus: 1, console: { write }, nics: [{ devid: 0, network, options }] }); // prettier-ignore
    this.domid = domid;
  }
}

/** Lets the host work until it is so. */
async function until(what: string, condition: () => boolean): Promise<void> {
  let late = false;
  const look = setInterval(() => machine.ring(), 5);
  const limit = setTimeout(() => (late = true), LONGEST_MS);
  await host.run(() => late || failure !== undefined || condition());
  clearInterval(look);
  clearTimeout(limit);
  assert.ifError(failure);
  assert(!late, `not in time: ${what}`);
}

test('a front end is told its packets’ hashes and has them by its table, over an end of the service; a wild one is given up', async () => {
  await host.vifs.add('lab', { nat: undefined });
  const [hearer, sayer, wild] = [new Player(), new Player(), new Player()];
  const heard = (): boolean => /from 187[^]*from 30 [^]*from 187/.test(hearer.output);
  await hearer.start('hear', 0x00163e000001);
  // What comes before it is set up has no hash.
  await until('it is set up', () => hearer.output.includes('control 9'));
  await sayer.start('say', 0x00163e000002);
  await until(`packets: ${hearer.output}`, heard);
  // Type, status, data; the statuses are those of the header.
  const said = [...hearer.output.matchAll(/control (\d+) status (\d+) data (\d+)\n/g)].map((match) => match.slice(1).map(Number)); // prettier-ignore
  assert.deepEqual(said, [
    [1, 1, 0],
    [7, 0, 0],
    [1, 0, 15],
    [2, 0, 0],
    [3, 0, 0],
    [3, 2, 0],
    [4, 0, 128],
    [5, 0, 0],
    [6, 0, 0],
    [6, 2, 0],
    [9, 1, 0],
  ]);
  /** Microsoft's vectors; the table gives even ones to queue 1. Extra information of type 4, hash type 1, algorithm 1. */
  const right = (): void => {
    const lines = hearer.output.match(/^queue .*$/gm)!;
    const expected = new Set(['queue 1 from 187 hash 411 51ccc178', 'queue 0 from 30 hash 411 afc7327f']);
    assert.deepEqual(new Set(lines), expected);
  };
  hearer.output = hearer.output.slice(0, hearer.output.lastIndexOf('\n') + 1);
  right();
  const { supervisor } = host.vifs.service!;
  let again = false;
  void supervisor.restart().then(() => (again = true));
  await until('the service serves again', () => again);
  hearer.output = '';
  await until('packets after the restart', heard);
  hearer.output = hearer.output.slice(hearer.output.indexOf('\n') + 1, hearer.output.lastIndexOf('\n') + 1);
  right();
  // Multicast control may be switched at any time; broadcasts come as before.
  const client = new LocalClient(host.store);
  const multicast = (): boolean => host.vifs.vif(hearer.domid, 0)!.connection!.multicast;
  for (const wanted of [true, false, true]) {
    client.write(`/local/domain/${hearer.domid}/device/vif/0/request-multicast-control`, wanted ? '1' : '0');
    await until('multicast control is switched', () => multicast() === wanted);
  }
  await wild.start('wild', 0x00163e000003);
  await until(`the wild one is given up: ${wild.output}`, () => /given up|still served/.test(wild.output));
  assert.match(wild.output, /given up/);
  hearer.output = '';
  await until('packets beside the wild one', heard);
  assert.equal(supervisor.restarts, 1);
  for (const { output } of [hearer, sayer, wild]) assert.doesNotMatch(output, /WRONG/);
  assert.equal(invariants(machine.core), null);
});
