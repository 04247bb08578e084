// String instructions. Row syntax: rows.ts.
export const string: readonly string[] = [
  'A4 | MOVS | Yb,Xb  | rep',
  'A5 | MOVS | Yv,Xv  | rep',
  'A6 | CMPS | Xb,Yb  | repz',
  'A7 | CMPS | Xv,Yv  | repz',
  'AA | STOS | Yb,AL  | rep',
  'AB | STOS | Yv,rAX | rep',
  'AC | LODS | AL,Xb  | rep',
  'AD | LODS | rAX,Xv | rep',
  'AE | SCAS | AL,Yb  | repz',
  'AF | SCAS | rAX,Yv | repz',
  '6C | INS  | Yb,DX  | rep iopl interp',
  '6D | INS  | Yz,DX  | rep iopl interp',
  '6E | OUTS | DX,Xb  | rep iopl interp',
  '6F | OUTS | DX,Xz  | rep iopl interp',
];
