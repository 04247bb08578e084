// The seed of a cloud image: a volume from which cloud-init's data source NoCloud takes what this machine is to be.
import { makeIso } from './iso9660.ts';

/** cloud-init looks for it by this name. */
const VOLUME = 'cidata';

export interface Seed {
  user_data: Uint8Array;
  meta_data: Uint8Array;
  network_config?: Uint8Array | undefined;
  vendor_data?: Uint8Array | undefined;
}

/** YAML takes JSON's strings. */
export const metaData = (instance_id: string, hostname?: string): Uint8Array =>
  Buffer.from(
    `instance-id: ${JSON.stringify(instance_id)}\n${hostname === undefined ? '' : `local-hostname: ${JSON.stringify(hostname)}\n`}`,
  );

export function makeSeed(seed: Seed, date: Date): Buffer {
  const files = [
    ['meta-data', seed.meta_data],
    ['network-config', seed.network_config],
    ['user-data', seed.user_data],
    ['vendor-data', seed.vendor_data],
  ] as const;
  return makeIso(
    VOLUME,
    files.flatMap(([name, contents]) => (contents === undefined ? [] : [{ name, contents }])),
    date,
  );
}
