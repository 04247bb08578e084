/** What a call fails with: a sentence for a person, and libxl's number for a program. */
export class Refused extends Error {
  readonly code: number;
  constructor(message: string, code: number = ERROR.FAIL) {
    super(message);
    this.code = code;
  }
}

/** Numbers of libxl's errors (libxl_types.idl). */
export const ERROR = {
  FAIL: -3,
  NI: -4,
  NOMEM: -5,
  INVAL: -6,
  GUEST_TIMEDOUT: -9,
  NOPARAVIRT: -11,
  DOMAIN_NOTFOUND: -21,
} as const;
