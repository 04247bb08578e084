/** The certificate by which clients know this host: another one is taken at once, by listeners that are open as well. */
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { Failure } from '../failure.ts';
import type { Caller, Handlers } from '../messages.ts';
import { describe, keepCertificate, ownCertificate, pemParts, served, type Certificate } from '../rpc/certificate.ts';
import { timeText } from '../rpc/decode.ts';
import type { Xapi } from '../xapi.ts';
import { recordCertificate } from './inventory.ts';

const RSA_BITS = { least: 2048, most: 4096 };
const CURVES = ['prime256v1', 'secp384r1', 'secp521r1'];

function readKey(text: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch {
    throw new Failure('SERVER_CERTIFICATE_KEY_INVALID');
  }
  const { modulusLength = 0, namedCurve = '' } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'rsa':
      if (modulusLength < RSA_BITS.least || modulusLength > RSA_BITS.most)
        throw new Failure('SERVER_CERTIFICATE_KEY_RSA_LENGTH_NOT_SUPPORTED', String(modulusLength));
      return key;
    case 'ec':
      if (CURVES.includes(namedCurve)) return key;
  }
  throw new Failure('SERVER_CERTIFICATE_KEY_ALGORITHM_NOT_SUPPORTED', namedCurve || String(key.asymmetricKeyType));
}

function readCertificate(pem: string | undefined, code: string): X509Certificate {
  try {
    return new X509Certificate(pem ?? '');
  } catch {
    throw new Failure(code);
  }
}

/** Fails unless TLS could work with them, now. */
export function checked(cert: string, key: string, chain: string, now: Date): Certificate {
  const privateKey = readKey(key);
  const parts = pemParts(cert, 'CERTIFICATE');
  if (parts.length !== 1) throw new Failure('SERVER_CERTIFICATE_INVALID');
  const own = readCertificate(parts[0], 'SERVER_CERTIFICATE_INVALID');
  if (own.validFromDate > now)
    throw new Failure(
      'SERVER_CERTIFICATE_NOT_VALID_YET',
      timeText(now.getTime()),
      timeText(own.validFromDate.getTime()),
    );
  if (own.validToDate < now)
    throw new Failure('SERVER_CERTIFICATE_EXPIRED', timeText(now.getTime()), timeText(own.validToDate.getTime()));
  if (!own.checkPrivateKey(privateKey)) throw new Failure('SERVER_CERTIFICATE_KEY_MISMATCH');
  if (!/sha-?(256|384|512)/i.test(own.signatureAlgorithm ?? ''))
    throw new Failure('SERVER_CERTIFICATE_SIGNATURE_NOT_SUPPORTED');
  const others = pemParts(chain, 'CERTIFICATE');
  if (chain.trim() !== '' && others.length === 0) throw new Failure('SERVER_CERTIFICATE_CHAIN_INVALID');
  for (const each of others) readCertificate(each, 'SERVER_CERTIFICATE_CHAIN_INVALID');
  return describe(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), parts[0], others.join(''));
}

function use(xapi: Xapi, certificate: Certificate): void {
  // Who can serve no such certificate keeps the old one.
  for (const listener of xapi.wire.secure) listener.setSecureContext(served(certificate));
  if (xapi.folder !== undefined) keepCertificate(xapi.folder, certificate);
  xapi.certificate = certificate;
  recordCertificate(xapi, xapi.host, certificate);
}

const reset = async ({ xapi }: Caller): Promise<void> => use(xapi, await ownCertificate());

export const certificates: Handlers = {
  'host.install_server_certificate': (args, { xapi }) => {
    args.row('host');
    const [cert, key, chain] = [args.text('certificate'), args.text('private_key'), args.text('certificate_chain')];
    use(xapi, checked(cert, key, chain, new Date()));
  },
  'host.reset_server_certificate': (args, caller) => {
    args.row('host');
    return reset(caller);
  },
  'host.emergency_reset_server_certificate': (_args, caller) => reset(caller),
};
