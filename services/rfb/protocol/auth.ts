// VNC authentication (RFC 6143, 7.2.2): 16 bytes are encrypted by DES with the password, whose bytes are used with their bits in reverse.
import { createCipheriv, timingSafeEqual } from 'node:crypto';

export const CHALLENGE = 16;
const KEY = 8;

const reversed = (byte: number): number => {
  let out = 0;
  for (let i = 0; i < 8; i++) out |= ((byte >> i) & 1) << (7 - i);
  return out;
};

/** What who knows the password answers. Only its first 8 bytes count. */
export function vncResponse(password: string, challenge: Uint8Array): Buffer {
  const key = Buffer.alloc(KEY);
  Buffer.from(password, 'latin1').copy(key, 0, 0, KEY);
  for (let i = 0; i < KEY; i++) key[i] = reversed(key[i]!);
  // Triple DES with one key three times is DES, which OpenSSL keeps apart.
  const cipher = createCipheriv('des-ede3', Buffer.concat([key, key, key]), null);
  cipher.setAutoPadding(false);
  return Buffer.concat([cipher.update(challenge), cipher.final()]);
}

export const vncMatches = (password: string, challenge: Uint8Array, response: Uint8Array): boolean =>
  timingSafeEqual(vncResponse(password, challenge), response);
