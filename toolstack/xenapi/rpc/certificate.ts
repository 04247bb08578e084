/** The host's own certificate, made at the first start: self-signed, as XenAPI clients are used to. */
import { randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';

const YEARS = 10;
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

export interface Certificate {
  key: string;
  cert: string;
  /** Certificates of who has signed it, of theirs, and so on. */
  chain: string;
  /** SHA-256, as `Certificate.fingerprint` has it. */
  fingerprint: string;
  notBefore: Date;
  notAfter: Date;
}

export function describe(key: string, cert: string, chain: string): Certificate {
  const { fingerprint256, validFromDate, validToDate } = new X509Certificate(cert);
  return { key, cert, chain, fingerprint: fingerprint256, notBefore: validFromDate, notAfter: validToDate };
}

async function make(names: string[]): Promise<{ key: string; cert: string }> {
  // Large, and needed once in a host's life. The library's container needs the first.
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  const crypto = webcrypto as unknown as Crypto;
  x509.cryptoProvider.set(crypto);
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const now = Date.now();
  const notAfter = new Date(now);
  notAfter.setUTCFullYear(notAfter.getUTCFullYear() + YEARS);
  const isAddress = (name: string) => /^[\d.]+$|:/.test(name);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: `01${randomBytes(15).toString('hex')}`,
    name: [{ CN: [names[0]] }],
    notBefore: new Date(now - 3600_000),
    notAfter,
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isAddress(value) ? ('ip' as const) : ('dns' as const), value })),
      ),
    ],
  });
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey));
  const lines = pkcs8
    .toString('base64')
    .match(/.{1,64}/g)!
    .join('\n');
  return {
    key: `-----BEGIN PRIVATE KEY-----\n${lines}\n-----END PRIVATE KEY-----\n`,
    cert: `${certificate.toString('pem').trim()}\n`,
  };
}

/** What TLS sends. */
export const served = ({ key, cert, chain }: Certificate): { key: string; cert: string } => ({
  key,
  cert: cert + chain,
});

/** One that the host has signed itself. */
export async function ownCertificate(): Promise<Certificate> {
  const { key, cert } = await make([hostname() || 'localhost', 'localhost', '127.0.0.1', '::1']);
  return describe(key, cert, '');
}

const fileOf = (folder: string): string => join(folder, 'server.pem');

export function keepCertificate(folder: string, { key, cert, chain }: Certificate): void {
  const aside = `${fileOf(folder)}.new`;
  writeFileSync(aside, key + cert + chain, { mode: 0o600, flush: true });
  renameSync(aside, fileOf(folder));
}

/** Parts of a file of that name, as PEM has them. */
export const pemParts = (text: string, name: string): string[] =>
  (text.match(new RegExp(`-----BEGIN ${name}-----[^]*?-----END ${name}-----`, 'g')) ?? []).map((part) => `${part}\n`);

/** Key and certificate of that folder; made when they are missing. */
export async function certificateOf(folder: string): Promise<Certificate> {
  const path = fileOf(folder);
  if (!existsSync(path)) keepCertificate(folder, await ownCertificate());
  const text = readFileSync(path, 'utf8');
  const [key] = pemParts(text, 'PRIVATE KEY');
  const [cert, ...chain] = pemParts(text, 'CERTIFICATE');
  if (!key || !cert) throw new Error(`${path} has no key and certificate: delete it to have new ones made.`);
  return describe(key, cert, chain.join(''));
}
