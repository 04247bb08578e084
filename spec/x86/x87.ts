// x87 instructions (SDM vol. 1, chapter 8; vol. 2, appendix A.2.7, "Escape opcode instructions"). Row syntax: rows.ts.
//
// Register forms name the destination first: FADD_st0_sti is ST(0) += ST(i). The undocumented aliases that processors execute
// (DC D0, DC D8, DD C8, DE D0, DF C8, DF D0, DF D8, D9 D8, DF C0; 8087 and 80287 control instructions as no-operations) are rows too.

const hex = (byte: number): string => byte.toString(16).toUpperCase();
const row = (opcode: string, name: string, operand = '', attributes = ''): string =>
  `${opcode} | ${name} | ${operand} | ${attributes}${attributes ? ' ' : ''}x87 interp`;

/** The eight operations of D8 DA DC DE by ModRM.reg: memory forms, then ST(0), ST(i). */
const arithmetic = ['ADD', 'MUL', 'COM', 'COMP', 'SUB', 'SUBR', 'DIV', 'DIVR'].flatMap((name, digit) => [
  row(`D8 /${digit} mem`, `F${name}_m32`, 'Md'),
  row(`DC /${digit} mem`, `F${name}_m64`, 'Mq'),
  row(`DA /${digit} mem`, `FI${name}_m32`, 'Md'),
  row(`DE /${digit} mem`, `FI${name}_m16`, 'Mw'),
  row(`D8 ${hex(0xc0 + 8 * digit)}+i`, `F${name}_st0_sti`),
]);

/** DC and DE with ST(i) as destination: the reversed operations change places (SDM vol. 2, FSUB, FSUBR, FDIV, FDIVR). */
const reverse = ['ADD', 'MUL', '', '', 'SUBR', 'SUB', 'DIVR', 'DIV'].flatMap((name, digit) =>
  name
    ? [
        row(`DC ${hex(0xc0 + 8 * digit)}+i`, `F${name}_sti_st0`),
        row(`DE ${hex(0xc0 + 8 * digit)}+i`, `F${name}P_sti_st0`),
      ]
    : [],
);

const conditional = [
  ['DA C0', 'FCMOVB'],
  ['DA C8', 'FCMOVE'],
  ['DA D0', 'FCMOVBE'],
  ['DA D8', 'FCMOVU'],
  ['DB C0', 'FCMOVNB'],
  ['DB C8', 'FCMOVNE'],
  ['DB D0', 'FCMOVNBE'],
  ['DB D8', 'FCMOVNU'],
].map(([opcode, name]) => row(`${opcode}+i`, name));

export const x87: readonly string[] = [
  ...arithmetic,
  ...reverse,
  ...conditional,
  // Loads and stores
  row('D9 /0 mem', 'FLD_m32', 'Md'),
  row('DD /0 mem', 'FLD_m64', 'Mq'),
  row('DB /5 mem', 'FLD_m80', 'M'),
  row('D9 C0+i', 'FLD_sti'),
  row('DF /0 mem', 'FILD_m16', 'Mw'),
  row('DB /0 mem', 'FILD_m32', 'Md'),
  row('DF /5 mem', 'FILD_m64', 'Mq'),
  row('DF /4 mem', 'FBLD_m80', 'M'),
  row('D9 /2 mem', 'FST_m32', 'Md'),
  row('DD /2 mem', 'FST_m64', 'Mq'),
  row('DD D0+i', 'FST_sti'),
  row('D9 /3 mem', 'FSTP_m32', 'Md'),
  row('DD /3 mem', 'FSTP_m64', 'Mq'),
  row('DB /7 mem', 'FSTP_m80', 'M'),
  row('DD D8+i', 'FSTP_sti'),
  row('DF D0+i', 'FSTP_sti'),
  row('DF D8+i', 'FSTP_sti'),
  row('D9 D8+i', 'FSTPNCE_sti'),
  row('DF /2 mem', 'FIST_m16', 'Mw'),
  row('DB /2 mem', 'FIST_m32', 'Md'),
  row('DF /3 mem', 'FISTP_m16', 'Mw'),
  row('DB /3 mem', 'FISTP_m32', 'Md'),
  row('DF /7 mem', 'FISTP_m64', 'Mq'),
  row('DF /1 mem', 'FISTTP_m16', 'Mw'),
  row('DB /1 mem', 'FISTTP_m32', 'Md'),
  row('DD /1 mem', 'FISTTP_m64', 'Mq'),
  row('DF /6 mem', 'FBSTP_m80', 'M'),
  row('D9 C8+i', 'FXCH_sti'),
  row('DD C8+i', 'FXCH_sti'),
  row('DF C8+i', 'FXCH_sti'),
  // Constants
  row('D9 E8', 'FLD1'),
  row('D9 E9', 'FLDL2T'),
  row('D9 EA', 'FLDL2E'),
  row('D9 EB', 'FLDPI'),
  row('D9 EC', 'FLDLG2'),
  row('D9 ED', 'FLDLN2'),
  row('D9 EE', 'FLDZ'),
  // Comparisons
  row('DC D0+i', 'FCOM_st0_sti'),
  row('DC D8+i', 'FCOMP_st0_sti'),
  row('DE D0+i', 'FCOMP_st0_sti'),
  row('DE D9', 'FCOMPP'),
  row('DD E0+i', 'FUCOM_sti'),
  row('DD E8+i', 'FUCOMP_sti'),
  row('DA E9', 'FUCOMPP'),
  row('DB F0+i', 'FCOMI_sti'),
  row('DF F0+i', 'FCOMIP_sti'),
  row('DB E8+i', 'FUCOMI_sti'),
  row('DF E8+i', 'FUCOMIP_sti'),
  row('D9 E4', 'FTST'),
  row('D9 E5', 'FXAM'),
  // Arithmetic on ST(0), partial remainders, scaling
  row('D9 E0', 'FCHS'),
  row('D9 E1', 'FABS'),
  row('D9 FA', 'FSQRT'),
  row('D9 FC', 'FRNDINT'),
  row('D9 FD', 'FSCALE'),
  row('D9 F4', 'FXTRACT'),
  row('D9 F8', 'FPREM'),
  row('D9 F5', 'FPREM1'),
  // Transcendental functions
  row('D9 F0', 'F2XM1'),
  row('D9 F1', 'FYL2X'),
  row('D9 F9', 'FYL2XP1'),
  row('D9 F2', 'FPTAN'),
  row('D9 F3', 'FPATAN'),
  row('D9 FE', 'FSIN'),
  row('D9 FF', 'FCOS'),
  row('D9 FB', 'FSINCOS'),
  // Control
  row('D9 /5 mem', 'FLDCW', 'Mw'),
  row('D9 /7 mem', 'FNSTCW', 'Mw'),
  row('DD /7 mem', 'FNSTSW_m16', 'Mw'),
  row('DF E0', 'FNSTSW_ax'),
  row('D9 /4 mem', 'FLDENV', 'M', 'v'),
  row('D9 /6 mem', 'FNSTENV', 'M', 'v'),
  row('DD /4 mem', 'FRSTOR', 'M', 'v'),
  row('DD /6 mem', 'FNSAVE', 'M', 'v'),
  row('DB E2', 'FNCLEX'),
  row('DB E3', 'FNINIT'),
  row('D9 D0', 'FNOP'),
  row('DB E0', 'FNENI'), // 8087: no operation since the 80287
  row('DB E1', 'FNDISI'),
  row('DB E4', 'FNSETPM'), // 80287: no operation since the 80387
  row('D9 F7', 'FINCSTP'),
  row('D9 F6', 'FDECSTP'),
  row('DD C0+i', 'FFREE_sti'),
  row('DF C0+i', 'FFREEP_sti'),
];
