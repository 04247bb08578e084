/** What a request may take; beyond it the request is malformed. */
export const MAX_BODY = 4 * 2 ** 20;
export const MAX_DEPTH = 64;
export const MAX_VALUES = 200_000;

/** What cannot be read as a request: answered by HTTP 500. */
export class Malformed extends Error {}

/** A value as it came, before anybody has looked at types. */
export type Raw = string | number | boolean | null | Raw[] | { [key: string]: Raw };

export interface Call {
  method: string;
  params: Raw[];
}
