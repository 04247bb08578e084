// A first handful of A64 instructions, in the notation of the Arm Architecture Reference Manual (DDI 0487, C6.2): the encoding diagram from
// bit 31 down, then what the micro-op keeps of it. They show that spec, builders and IR hold nothing that is only x86's.
//
// Columns: encoding | name | micro-op fields | undefined if
// `>` names a register that is written, `=` one that is read (or a value); register 31 is the stack pointer with `|SP`, else it reads as zero.
export const text: readonly string[] = [
  'sf 0 0 100010 sh imm12 Rn Rd          | ADD_imm  | r>Rd|SP b=Rn|SP imm=imm12<<12*sh',
  'sf 1 0 100010 sh imm12 Rn Rd          | SUB_imm  | r>Rd|SP b=Rn|SP imm=imm12<<12*sh',
  'sf 1 1 100010 sh imm12 Rn Rd          | SUBS_imm | r>Rd b=Rn|SP imm=imm12<<12*sh',
  'sf 0 0 01011 shift 0 Rm imm6 Rn Rd    | ADD_reg  | r>Rd b=Rn x=Rm m=shift imm=imm6 | shift==3 || sf==0 && imm6>=32',
  'sf 1 1 01011 shift 0 Rm imm6 Rn Rd    | SUBS_reg | r>Rd b=Rn x=Rm m=shift imm=imm6 | shift==3 || sf==0 && imm6>=32',
  'sf 00 11011 000 Rm 0 Ra Rn Rd         | MADD     | r>Rd b=Rn x=Rm m=Ra',
  'sf 10 100101 hw imm16 Rd              | MOVZ     | r>Rd m=16*hw imm=imm16 | sf==0 && hw>=2',
  '1 sf 111 0 01 01 imm12 Rn Rt          | LDR_imm  | r>Rt b=Rn|SP disp=imm12<<2+sf',
  '1 sf 111 0 01 00 imm12 Rn Rt          | STR_imm  | r=Rt b=Rn|SP disp=imm12<<2+sf',
  '000101 imm26                          | B        | disp=pos+4*sx(imm26)',
  '0101010 0 imm19 0 cond                | B_cond   | m=cond disp=pos+4*sx(imm19)',
  'sf 011010 0 imm19 Rt                  | CBZ      | r=Rt disp=pos+4*sx(imm19)',
];

export interface Field {
  /** Lowest bit. */
  at: number;
  width: number;
}

export interface Row {
  name: string;
  /** Bits that are fixed, and their values. */
  mask: number;
  value: number;
  fields: Map<string, Field>;
  /** `r>Rd|SP` and so on, as written. */
  assign: readonly string[];
  /** '' = never. */
  undefinedIf: string;
}

const WIDTHS: Record<string, number> = { sf: 1, sh: 1, shift: 2, hw: 2, cond: 4, Rd: 5, Rn: 5, Rm: 5, Ra: 5, Rt: 5 };

function parse(source: string): Row {
  const [encoding = '', name = '', assign = '', undefinedIf = ''] = source.split(/ +\| +/);
  const fields = new Map<string, Field>();
  let mask = 0n;
  let value = 0n;
  let at = 32;
  for (const part of encoding.trim().split(/\s+/)) {
    if (/^[01]+$/.test(part)) {
      at -= part.length;
      mask |= ((1n << BigInt(part.length)) - 1n) << BigInt(Math.max(at, 0));
      value |= BigInt(`0b${part}`) << BigInt(Math.max(at, 0));
    } else {
      const width = WIDTHS[part] ?? Number(/^imm(\d+)$/.exec(part)?.[1]);
      at -= width;
      if (fields.has(part)) throw new Error(`${source}: ${part} twice`);
      fields.set(part, { at, width });
    }
  }
  if (at !== 0) throw new Error(`${source}: ${32 - at} bits`);
  return {
    name: name.trim(),
    mask: Number(mask),
    value: Number(value),
    fields,
    assign: assign.trim().split(/\s+/),
    undefinedIf: undefinedIf.trim(),
  };
}

export const rows: readonly Row[] = text.map(parse);
