/**
 * The ACPI tables of a PVH guest, as Xen's toolstack supplies them: RSDP, XSDT, RSDT, FADT, FACS, DSDT and MADT
 * (ACPI 5.0, section 5.2). There is no I/O APIC, no PM timer, no CMOS clock, no VGA and no 8042.
 */
import * as aml from './aml.ts';
import { alignUp, concat, text, u16, u32, u64, u8, zeros } from './bytes.ts';

export interface AcpiTables {
  readonly rsdp: Uint8Array;
  /** Everything but the RSDP, to be placed at the address given to `acpiTables`. */
  readonly tables: Uint8Array;
}

const OEM_ID = 'Xen';
const OEM_TABLE_ID = 'HVM';
const CREATOR_ID = 'HVML';
const LAPIC_ADDRESS = 0xfee00000;
/** MADT flag PCAT_COMPAT, local APIC flag "enabled". */
const PCAT_COMPAT = 1;
const LAPIC_ENABLED = 1;
/** FADT flags: WBINVD, C1 on every processor, no power and no sleep button in fixed hardware. */
const FADT_FLAGS = (1 << 0) | (1 << 2) | (1 << 4) | (1 << 5);
/** IA-PC boot architecture: VGA not present, CMOS RTC not present. */
const NO_VGA_NO_CMOS_RTC = (1 << 2) | (1 << 5);

const HEADER_SIZE = 36;
const CHECKSUM_AT = 9;

function setChecksum(table: Uint8Array, at: number, size = table.length): void {
  table[at] = 0;
  table[at] = -table.subarray(0, size).reduce((sum, byte) => sum + byte, 0) & 0xff;
}

function table(signature: string, revision: number, ...body: Uint8Array[]): Uint8Array {
  const rest = concat(body);
  const out = concat([
    text(signature),
    u32(HEADER_SIZE + rest.length),
    u8(revision, 0),
    text(OEM_ID, 6),
    text(OEM_TABLE_ID, 8),
    u32(0),
    text(CREATOR_ID),
    u32(0),
    rest,
  ]);
  setChecksum(out, CHECKSUM_AT);
  return out;
}

/** Processor local APIC structure; Xen gives vCPU n the APIC id 2n. */
const localApic = (vcpu: number, online: boolean): Uint8Array =>
  concat([u8(0, 8, vcpu, vcpu * 2), u32(online ? LAPIC_ENABLED : 0)]);

const madt = (vcpus: number): Uint8Array =>
  table('APIC', 2, u32(LAPIC_ADDRESS, PCAT_COMPAT), ...Array.from({ length: vcpus }, (_, i) => localApic(i, true)));

const dsdt = (vcpus: number): Uint8Array => {
  const present = 0x0f; // present, enabled, shown, functioning
  const processors = Array.from({ length: vcpus }, (_, i) =>
    aml.processor(
      `PR${i.toString(16).toUpperCase().padStart(2, '0')}`,
      i,
      aml.name('_STA', aml.integer(present)),
      aml.name('_MAT', aml.buffer(localApic(i, true))),
    ),
  );
  return table('DSDT', 2, aml.scope('\\_SB', ...processors));
};

const facs = (): Uint8Array => concat([text('FACS'), u32(64), zeros(24), u8(1), zeros(31)]);

/** A generic address in I/O space, 12 bytes; no registers: all zero. */
const gas = (bits: number, port: number): Uint8Array => concat([u8(1, bits, 0, 0), u64(port)]);
const NO_GAS = zeros(12);

/** Fixed ports of Xen's ACPI PM block; nobody answers there in a PVH guest, reads give all ones. */
const PM1A_EVENT = 0xb000;
const PM1A_CONTROL = 0xb004;

function fadt(facsAt: number, dsdtAt: number): Uint8Array {
  return table(
    'FACP',
    5,
    u32(facsAt, dsdtAt),
    u8(0, 0), // interrupt model (reserved), preferred profile
    u16(9), // SCI
    u32(0), // SMI command: always in ACPI mode
    zeros(4),
    u32(PM1A_EVENT, 0, PM1A_CONTROL, 0, 0, 0), // PM1a/b event, PM1a/b control, PM2, PM timer
    u32(0, 0), // GPE0, GPE1
    u8(4, 2, 0, 0, 0, 0, 0, 0), // lengths: PM1 event, PM1 control, PM2, PM timer, GPE0, GPE1; GPE1 base; CST
    u16(0xfff, 0xfff, 0, 0), // C2 and C3 latency: not supported; flush size, stride
    u8(0, 0, 0, 0, 0), // duty offset, width; day alarm, month alarm, century
    u16(NO_VGA_NO_CMOS_RTC),
    u8(0),
    u32(FADT_FLAGS),
    NO_GAS, // reset register
    u8(0),
    zeros(3),
    u64(facsAt, dsdtAt),
    gas(32, PM1A_EVENT),
    NO_GAS,
    gas(16, PM1A_CONTROL),
    ...Array<Uint8Array>(5).fill(NO_GAS), // PM1b control, PM2, PM timer, GPE0, GPE1
    NO_GAS, // sleep control
    NO_GAS, // sleep status
  );
}

/** Builds the tables for `base`, the guest physical address they will be placed at (below 4 GiB, page aligned). */
export function acpiTables(vcpus: number, base: number): AcpiTables {
  const parts: Uint8Array[] = [];
  let at = base;
  const place = (bytes: Uint8Array): number => {
    const here = at;
    const padded = concat([bytes, zeros(alignUp(bytes.length, 64) - bytes.length)]); // FACS must be 64-byte aligned
    parts.push(padded);
    at += padded.length;
    return here;
  };
  const facsAt = place(facs());
  const dsdtAt = place(dsdt(vcpus));
  const tables = [place(fadt(facsAt, dsdtAt)), place(madt(vcpus))];
  const xsdt = place(table('XSDT', 1, u64(...tables)));
  const rsdt = place(table('RSDT', 1, u32(...tables)));
  const rsdp = concat([text('RSD PTR '), u8(0), text(OEM_ID, 6), u8(2), u32(rsdt, 36), u64(xsdt), u8(0), zeros(3)]);
  setChecksum(rsdp, 8, 20); // the part that ACPI 1.0 knows
  setChecksum(rsdp, 32);
  return { rsdp, tables: concat(parts) };
}
