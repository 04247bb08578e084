// String instructions. Row syntax: rows.ts.
export const string: readonly string[] = [
  'A4 | MOVS | Yb,Xb  | rep interp',
  'A5 | MOVS | Yv,Xv  | rep interp',
  'A6 | CMPS | Xb,Yb  | repz interp',
  'A7 | CMPS | Xv,Yv  | repz interp',
  'AA | STOS | Yb,AL  | rep interp',
  'AB | STOS | Yv,rAX | rep interp',
  'AC | LODS | AL,Xb  | rep interp',
  'AD | LODS | rAX,Xv | rep interp',
  'AE | SCAS | AL,Yb  | repz interp',
  'AF | SCAS | rAX,Yv | repz interp',
  '6C | INS  | Yb,DX  | rep iopl interp',
  '6D | INS  | Yz,DX  | rep iopl interp',
  '6E | OUTS | DX,Xb  | rep iopl interp',
  '6F | OUTS | DX,Xz  | rep iopl interp',
];
