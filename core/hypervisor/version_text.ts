// The texts of XENVER_*, laid out as the host's text area has them (version_op.ts). TypeScript: used by the platform.

const field = (s: string, size: number) => s.slice(0, size - 1).padEnd(size, '\0');

export interface VersionTexts {
  extraversion: string;
  compiler: string;
  compileBy: string;
  compileDomain: string;
  compileDate: string;
  changeset: string;
  capabilities: string;
  commandline: string;
}

export const VERSION_TEXTS: VersionTexts = {
  extraversion: '.5-xenolith',
  compiler: 'asc (AssemblyScript) 0.28',
  compileBy: 'xenolith',
  compileDomain: 'localdomain',
  compileDate: 'Thu Jan  1 00:00:00 UTC 1970',
  changeset: 'xenolith',
  // What a PVH guest may be: the classes of domains that can be built here.
  capabilities: 'xen-3.0-x86_64 xen-3.0-x86_32p hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ',
  commandline: '',
};

/** Bytes for the address that the core's `host_text` export returns. */
export function versionTextBytes(t: VersionTexts = VERSION_TEXTS): Uint8Array {
  const text =
    field(t.extraversion, 16) +
    field(t.compiler, 64) +
    field(t.compileBy, 16) +
    field(t.compileDomain, 32) +
    field(t.compileDate, 32) +
    field(t.changeset, 64) +
    field(t.capabilities, 1024) +
    field(t.commandline, 1024);
  return new TextEncoder().encode(text);
}
