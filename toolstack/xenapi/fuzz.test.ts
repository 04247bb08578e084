// Every message with arguments that are right, nearly right and wrong: the answer is a value of its type or a failure of XenAPI's, never a
// mistake of ours, and both encoders can write it.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ENUMS, MESSAGES } from '../../spec/xenapi/index.ts';
import type { Type } from '../../spec/xenapi/types.ts';
import { random as generator } from '../../test/random.ts';
import { SCHEMAS } from './database/schema.ts';
import { Failure } from './failure.ts';
import { json, xml } from './rpc/encode.ts';
import type { Raw } from './rpc/limits.ts';
import { readXml } from './rpc/xml_read.ts';
import { bed, VM_RECORD, type Bed } from './testing.ts';

type Below = (n: number) => number;

/** These wait, or end the session that asks. */
const NOT = new Set(['event.next', 'event.from', 'session.logout', 'session.local_logout', 'session.change_password']);
const STRANGE: Raw[] = [
  '',
  'x',
  '\u0000',
  '__proto__',
  '../../etc/passwd',
  'OpaqueRef:NULL',
  0,
  -1,
  1.5,
  2 ** 60,
  true,
  null,
  [],
  {},
  ['x'],
  '😀'.repeat(50),
];

class Sampler {
  readonly #bed: Bed;
  readonly #below: Below;

  constructor(bed: Bed, below: Below) {
    this.#bed = bed;
    this.#below = below;
  }

  strange(): Raw {
    return STRANGE[this.#below(STRANGE.length)];
  }

  ref(name: string): Raw {
    const all = SCHEMAS.has(name) ? [...this.#bed.xapi.db.table(name).keys()] : [];
    return all.length > 0 && this.#below(8) > 0 ? all[this.#below(all.length)] : 'OpaqueRef:NULL';
  }

  of(type: Type): Raw {
    if (this.#below(12) === 0) return this.strange();
    switch (type.kind) {
      case 'int':
        return [0, 1, 5, 256 * 2 ** 20, -7][this.#below(5)];
      case 'float':
        return this.#below(100) / 4;
      case 'bool':
        return this.#below(2) === 0;
      case 'datetime':
        return '20260101T00:00:00Z';
      case 'enum': {
        const values = ENUMS.get(type.name)!;
        return values[this.#below(values.length)];
      }
      case 'ref':
        return this.ref(type.class);
      case 'set':
        return Array.from({ length: this.#below(3) }, () => this.of(type.of));
      case 'map':
        return Object.fromEntries(
          Array.from({ length: this.#below(3) }, () => [`${String(this.of(type.key))}`, this.of(type.value)]),
        );
      case 'record':
        return this.record(type.class!);
      default:
        return ['', 'a', '0', '1.2.3.4', 'true', 'autodetect', 'file'][this.#below(7)];
    }
  }

  record(name: string): Raw {
    const schema = SCHEMAS.get(name);
    if (!schema) return {};
    const record: { [key: string]: Raw } = {};
    for (const field of schema.fields)
      if (field.qualifier !== 'RO' && this.#below(20) > 0) record[field.name] = this.of(field.type);
    return record;
  }
}

test('every message, with anything', { timeout: 120_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'xenapi-fuzz-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const server = await bed(t, { storage: folder });
  const { xapi, call, session } = server;
  const below = generator(20261126);
  const sampler = new Sampler(server, below);
  const origin = { address: 'fuzz', signal: new AbortController().signal };
  const seed = async () => {
    const vm: string = await call('VM.create', VM_RECORD);
    const [network]: string[] = await call('network.get_all');
    const qos = { other_config: {}, qos_algorithm_type: '', qos_algorithm_params: {} };
    await call('VIF.create', { VM: vm, network, device: '0', MAC: '', MTU: 1500, ...qos });
    await call('VBD.create', {
      VM: vm,
      VDI: 'OpaqueRef:NULL',
      userdevice: '0',
      bootable: true,
      mode: 'RO',
      type: 'CD',
      empty: true,
      ...qos,
    });
    await call('task.create', 'a', 'b');
  };
  let answered = 0;
  for (let round = 0; round < 3; round++) {
    await seed();
    await xapi.metrics.measure(1_000_000 + round * 5);
    for (const [method, message] of MESSAGES) {
      if (NOT.has(method)) continue;
      const params = message.parameters
        .slice(0, message.parameters.length - Number(below(25) === 0))
        .map(({ type }) => sampler.of(type));
      if (below(40) === 0) params.push('too much');
      if (message.session) params.unshift(session);
      try {
        const { type, value } = await xapi.dispatcher.call({ method, params }, origin);
        answered++;
        JSON.parse([...json(type, value)].join(''));
        readXml(
          `<methodCall><methodName>m</methodName><params><param>${[...xml(type, value)].join('')}</param></params></methodCall>`,
        );
      } catch (error) {
        assert.ok(error instanceof Failure, `${method}(${JSON.stringify(params)}): ${(error as Error).stack}`);
        assert.notEqual(error.code, 'INTERNAL_ERROR', `${method}(${JSON.stringify(params)}): ${error.message}`);
      }
    }
  }
  assert.ok(answered > 1500, `only ${answered} did something`);
  // Whatever happened, the books are right.
  for (const { name, backLinks } of SCHEMAS.values())
    for (const row of xapi.db.table(name).values())
      for (const { class: other, field, back, many } of backLinks)
        for (const ref of row.refs(back)) {
          const from = xapi.db.row(other, ref);
          assert.ok(many ? from.refs(field).includes(row.ref) : from.text(field) === row.ref, `${name}.${back}`);
        }
});
