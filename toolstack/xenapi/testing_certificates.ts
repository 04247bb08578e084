/** Certificates for tests: authorities, what they have signed and what they take back. */
import { webcrypto } from 'node:crypto';

const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY = 86_400_000;

export interface Made {
  cert: string;
  key: string;
}
export interface Authority extends Made {
  sign(name: string, options?: { from?: number; to?: number; bits?: number; hash?: string }): Promise<Made>;
  /** A list of what it takes back. */
  revoke(...certs: string[]): Promise<string>;
}

const pem = (label: string, bytes: ArrayBuffer): string => {
  const lines = Buffer.from(bytes).toString('base64').match(/.{1,64}/g)!.join('\n'); // prettier-ignore
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
};

let serial = 1;

export async function authority(name: string): Promise<Authority> {
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  const crypto = webcrypto as unknown as Crypto;
  x509.cryptoProvider.set(crypto);
  const generate = (algorithm: typeof EC | webcrypto.RsaHashedKeyGenParams): Promise<webcrypto.CryptoKeyPair> =>
    webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>;
  const keyOf = async ({ privateKey }: webcrypto.CryptoKeyPair): Promise<string> =>
    pem('PRIVATE KEY', await webcrypto.subtle.exportKey('pkcs8', privateKey));
  const keys = await generate(EC);
  const now = Date.now();
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    ...{ serialNumber: String(serial++).padStart(2, '0'), name: `CN=${name}`, keys, signingAlgorithm: EC },
    ...{ notBefore: new Date(now - DAY), notAfter: new Date(now + 30 * DAY) },
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    ],
  });
  return {
    cert: `${root.toString('pem')}\n`,
    key: await keyOf(keys),
    async sign(host, { from = -DAY, to = DAY, bits, hash = 'SHA-256' } = {}) {
      const rsa = {
        name: 'RSASSA-PKCS1-v1_5',
        hash,
        publicExponent: new Uint8Array([1, 0, 1]),
        modulusLength: bits ?? 0,
      };
      const own = await generate(bits === undefined ? EC : rsa);
      const cert = await x509.X509CertificateGenerator.create({
        ...{ serialNumber: String(serial++).padStart(2, '0'), subject: `CN=${host}`, issuer: root.subject },
        ...{ publicKey: own.publicKey, signingKey: keys.privateKey, signingAlgorithm: { ...EC, hash } },
        ...{ notBefore: new Date(now + from), notAfter: new Date(now + to) },
        extensions: [
          new x509.SubjectAlternativeNameExtension([
            { type: 'dns', value: host },
            { type: 'ip', value: '127.0.0.1' },
          ]),
        ],
      });
      return { cert: `${cert.toString('pem')}\n`, key: await keyOf(own) };
    },
    async revoke(...certs) {
      const list = await x509.X509CrlGenerator.create({
        ...{ issuer: root.subject, thisUpdate: new Date(now - DAY), nextUpdate: new Date(now + DAY) },
        entries: certs.map((each) => ({
          serialNumber: new x509.X509Certificate(each).serialNumber,
          revocationDate: new Date(now - DAY),
        })),
        ...{ signingAlgorithm: EC, signingKey: keys.privateKey },
      });
      return pem('X509 CRL', list.rawData);
    },
  };
}
