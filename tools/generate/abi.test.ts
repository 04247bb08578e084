import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FURTHER_CHECKS, HYPERCALLS } from '../../spec/abi/hypercalls.ts';
import { own, subOps, xsm, type Hypercall } from '../../spec/abi/op.ts';
import { generateAbi, hooks, unasked } from './abi.ts';

const text = (path: string) => generateAbi().find((g) => g.path === path)!.text;
const row: Hypercall = {
  nr: 99, name: 'test_op', args: [], guests: ['hvm'], continuable: false, check: own('test'), status: 'supported',
}; // prettier-ignore

test('a row without an access check is refused by the type checker and by the generator', () => {
  const { check, ...without } = row;
  // @ts-expect-error: `check` is missing
  const unchecked: Hypercall = without;
  assert.throws(() => hooks([unchecked]), /no access check/);
  // @ts-expect-error: an op without a check
  const ops = subOps('X_', { mask: 0xff, unknown: 'ENOSYS', in: 'register' }, [[0, 'op', null]]);
  assert.throws(() => hooks([{ ...row, check: 'by op', subOps: ops }]), /no access check/);
  assert.throws(() => hooks([{ ...row, check: own('') }]), /say why/);
  assert.throws(() => hooks([{ ...row, check: 'by op' }]), /no sub-ops/);
  assert.doesNotThrow(() => hooks([{ ...row, check }]));
});

test('contradictions in the table are refused', () => {
  assert.throws(() => hooks([row, row]), /listed twice/);
  const twice = [
    { ...row, check: xsm('a', 'PRIV') },
    { ...row, nr: 98, check: xsm('a', 'HOOK') },
  ];
  assert.throws(() => hooks(twice), /two classes/);
});

test('every hook has a number and a class', () => {
  const module = text('core/gen/xsm.ts');
  const all = new Set([...hooks().keys(), ...FURTHER_CHECKS.map((c) => c.hook)]);
  assert.equal(all.size, hooks().size + FURTHER_CHECKS.length, "a further check is an op's own already");
  for (const hook of all) assert.match(module, new RegExp(`case XSM_${hook}:`));
  assert.match(module, new RegExp(`XSM_NR_HOOKS: i32 = ${all.size};`));
});

test('the dispatcher knows every hypercall, gates it by guest kind and refuses the rest', () => {
  const module = text('core/gen/hypercalls.ts');
  const body = module.slice(module.indexOf('export function hypercall_dispatch'));
  const cases = body.split('    case ').slice(1);
  assert.deepEqual(
    cases.map((c) => c.slice(0, c.indexOf(':'))),
    HYPERCALLS.map((h) => `__HYPERVISOR_${h.name}`),
  );
  cases.forEach((c, i) => {
    const h = HYPERCALLS[i];
    assert.match(c, /if \(\(guest & \(GUEST_/);
    assert.equal(c.includes(`return do_${h.name}(d, v`), h.status === 'supported', h.name);
  });
  assert.match(body, /default:\n      return -ENOSYS;/);
});

test('a dispatch-time check comes before the handler and before the answer of an unsupported op', () => {
  const module = text('core/gen/hypercalls.ts');
  assert.match(
    module,
    /__HYPERVISOR_platform_op:\n.*GUEST.*\n\s+rc = xsm_check\(XSM_platform_op, d, null\);\n\s+if \(rc != 0\) return rc;\n\s+return -ENOSYS;/,
  );
  assert.match(
    module,
    /case XENMEM_set_pod_target:\n(?:\s+case \w+:\n)*\s+rc = xsm_check\(XSM_memory_pod_target, d, null\);\n\s+return rc != 0 \? rc : -ENOSYS;/,
  );
});

test('names, offsets and bit-fields reach the core', () => {
  const abi = text('core/gen/abi.ts');
  const lines = [
    'EVTCHNOP_send: i32 = 4', '__HYPERVISOR_memory_op: i32 = 12', 'ENOSYS: i32 = 38', 'sizeof_shared_info: i32 = 3136',
    'shared_info__evtchn_mask: i32 = 2560', 'evtchn_status__u__interdomain__port: i32 = 20', 'ioreq__dir__shift: i32 = 5',
    'GNTST_bad_gntref: i32 = -3', 'XENMAPIDX_grant_table_status: u32 = 2147483648', 'XEN_RUNSTATE_UPDATE: u64 = 0x8000000000000000',
  ]; // prettier-ignore
  for (const line of lines) assert.ok(abi.includes(`export const ${line};`), line);
  const names = [...abi.matchAll(/^export const (\w+)/gm)].map((m) => m[1]);
  assert.equal(new Set(names).size, names.length, 'a name is given twice');
});

test('a check that no handler asks is found', () => {
  const none = unasked('');
  assert.ok(none.includes('evtchn_send') && none.includes('map_gmfn_foreign') && !none.includes('claim_pages'));
  assert.deepEqual(
    none.filter((hook) => !unasked('rc = xsm_check(XSM_evtchn_send, d, rd);').includes(hook)),
    ['evtchn_send'],
  );
});
