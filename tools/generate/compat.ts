/**
 * `core/gen/compat.ts`: structures copied from and to a guest in the layout of its caller, 64-bit or 32-bit (spec/abi/compat.ts). Widening goes from
 * the last member to the first and narrowing the other way, so both work in place: no member lies further back in the 32-bit layout.
 */
import { COMPAT_STRUCTS } from '../../spec/abi/compat.ts';
import { pv32 } from '../../spec/abi/compat_pv.ts';
import type { Fields, Struct, Type } from '../../spec/abi/layout.ts';
import { STRUCTS } from '../../spec/abi/structs/index.ts';

/** One move between the layouts: offsets, and the sizes there. */
interface Move {
  wide: number;
  wideSize: number;
  narrow: number;
  narrowSize: number;
}

/** Those that a handler copies whole; the rest (shared_info, vcpu_info …) is read in place. */
const COPIED = [
  'multicall_entry',
  'mmuext_op',
  'xen_machphys_mapping',
  'xen_machphys_mfn_list',
  'gnttab_setup_table',
  'gnttab_transfer',
  'gnttab_copy',
  'gnttab_get_status_frames',
  'xen_memory_reservation',
  'xen_memory_map',
  'xen_memory_exchange',
  'xen_add_to_physmap',
  'xen_add_to_physmap_batch',
  'xen_remove_from_physmap',
  'xen_foreign_memory_map',
  'xen_mem_acquire_resource',
  'sched_poll',
  'vcpu_runstate_info',
  'vcpu_set_singleshot_timer',
  'xen_dm_op_buf',
  'xen_argo_iov',
];

function moves(wide: Type, narrow: Type, at: number, to: number): Move[] {
  if (wide.kind === 'array' && narrow.kind === 'array') {
    const { element, length } = wide;
    return Array.from({ length }, (_, i) =>
      moves(element, narrow.element, at + i * element.size, to + i * narrow.element.size),
    ).flat();
  }
  if (wide.kind === 'union' && narrow.kind === 'union') {
    // One of them is as wide as the union; the others are its low bytes, on this side and on that.
    const key = Object.keys(wide.fields).find((k) => wide.fields[k].size === wide.size);
    if (key === undefined) throw new Error('a union that no member fills cannot be converted');
    return moves(wide.fields[key], narrow.fields[key], at, to);
  }
  if (wide.kind === 'struct' && narrow.kind === 'struct')
    return Object.keys(wide.fields as Fields).flatMap((k) =>
      moves(wide.fields[k], narrow.fields[k], at + wide.offsets[k], to + narrow.offsets[k]),
    );
  return [{ wide: at, wideSize: wide.size, narrow: to, narrowSize: narrow.size }];
}

const unsigned = (size: number): string => `u${size * 8}`;

function functions(name: string): string {
  const wide = (STRUCTS as Record<string, Struct>)[name];
  const narrow = COMPAT_STRUCTS[name];
  const list = moves(wide, narrow, 0, 0);
  for (const m of list) if (m.narrow > m.wide) throw new Error(`${name} cannot be converted in place`);
  const moved = list.filter((m) => m.narrow !== m.wide || m.narrowSize !== m.wideSize);
  const widen = moved
    .toReversed()
    .map((m) => `  store<${unsigned(m.wideSize)}>(a, load<${unsigned(m.narrowSize)}>(a, ${m.narrow}), ${m.wide});`);
  const shrink = moved.map((m) => {
    const value = `load<${unsigned(m.wideSize)}>(a, ${m.wide})`;
    const cast = m.wideSize === m.narrowSize ? value : `<${unsigned(m.narrowSize)}>${value}`;
    return `  store<${unsigned(m.narrowSize)}>(a, ${cast}, ${m.narrow});`;
  });
  return `
/** Bytes that the caller's ${name} has. */
export function size_${name}(v: Vcpu): u32 {
  return v.compat ? ${narrow.size} : ${wide.size};
}
/** Copy the caller's ${name} at \`at\` to \`a\`. */
export function get_${name}(v: Vcpu, a: usize, at: u64): bool {
  if (!v.compat) return copy_from_guest(v, a, at, ${wide.size});
  if (!copy_from_guest(v, a, at, ${narrow.size})) return false;
${widen.join('\n')}
  return true;
}
/** Copy \`a\` back to the caller's ${name} at \`at\`; \`a\` means nothing afterwards. */
export function put_${name}(v: Vcpu, at: u64, a: usize): bool {
  if (!v.compat) return copy_to_guest(v, at, a, ${wide.size});
${shrink.join('\n')}
  return copy_to_guest(v, at, a, ${narrow.size});
}
`;
}

/** Offsets in the two structures that are read in place. */
const SHARED = ['evtchn_mask', 'wc_version', 'wc_sec', 'wc_nsec', 'arch'].map((m): [string, number] => [
  `compat_shared_info__${m}`,
  COMPAT_STRUCTS.shared_info.offsets[m],
]);
const VCPU_INFO: [string, number] = [
  'compat_vcpu_info__evtchn_pending_sel',
  COMPAT_STRUCTS.vcpu_info.offsets.evtchn_pending_sel,
];
const ARCH: [string, number] = [
  'compat_shared_info__arch__wc_sec_hi',
  COMPAT_STRUCTS.shared_info.offsets.arch + COMPAT_STRUCTS.arch_shared_info.offsets.wc_sec_hi,
];

/** Those of PV guests have other members: their handlers go by them. */
const PV = ['trap_info', 'cpu_user_regs', 'vcpu_guest_context', 'callback_register'] as const;
const OFFSETS = PV.flatMap((name): [string, number][] => [
  [`sizeof_compat_${name}`, pv32[name].size],
  ...Object.entries(pv32[name].offsets).map(([m, at]): [string, number] => [`compat_${name}__${m}`, at]),
]);

const constant = ([name, value]: [string, number]): string => `export const ${name}: i32 = ${value};`;
const HEAD = '// Generated from spec/abi by tools/generate/compat.ts. Do not edit.\n\n';

/** The modules' texts. */
export function generateCompat(): { path: string; text: string }[] {
  const constants = [...SHARED, VCPU_INFO, ARCH].map(constant);
  const text = `${HEAD}import { copy_from_guest, copy_to_guest } from '../hypervisor/guest_access';
import { Vcpu } from '../hypervisor/vcpu';

${constants.join('\n')}
${COPIED.map(functions).join('')}`;
  return [
    { path: 'core/gen/compat.ts', text },
    { path: 'core/gen/compat_pv.ts', text: `${HEAD}${OFFSETS.map(constant).join('\n')}\n` },
  ];
}
