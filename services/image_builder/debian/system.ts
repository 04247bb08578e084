/** The files that are ours in a new Debian system, beside those of its packages. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Source } from '../apt.ts';
import type { TarEntry } from '../tar.ts';
import { entry, folder } from './root.ts';

/** What finds the root file system when the machine starts: Xen's disk, and the other virtual machines' for who takes the image there. */
const INITRAMFS_MODULES = ['xen-blkfront', 'ext4', 'crc32c_generic', 'virtio_blk', 'virtio_pci', 'virtio_mmio', 'virtio_scsi', 'sd_mod']; // prettier-ignore

/** lz4: unpacking costs the guest least. */
const INITRAMFS = 'MODULES=list\nBUSYBOX=n\nCOMPRESS=lz4\nCOMPRESSLEVEL=1\n';

/** The links /vmlinuz and /initrd.img are kept by the kernel's packages, so this file need not change when a kernel comes or goes. */
export const GRUB = `# Read by the boot loader of the host (pygrub) and by GRUB. The links are kept by Debian's kernel packages; \`update-grub\` of grub-xen may replace this file.
set default=0
set timeout=0
menuentry 'Debian GNU/Linux' --id debian {
  search --no-floppy --fs-uuid --set=root @UUID@
  linux /vmlinuz root=UUID=@UUID@ ro quiet console=hvc0
  initrd /initrd.img
}
menuentry 'Debian GNU/Linux, the kernel before' --id debian-old {
  search --no-floppy --fs-uuid --set=root @UUID@
  linux /vmlinuz.old root=UUID=@UUID@ ro quiet console=hvc0
  initrd /initrd.img.old
}
`;

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

const NETWORK = `[Match]
Type=ether

[Network]
DHCP=yes
`;

/**
 * An image may have many copies, and each is to be a machine of its own. No RSA key: it would take longer than the rest of the first start, and no
 * client of these years needs one.
 */
const HOST_KEYS = `[Unit]
Description=Host keys of the SSH server, made at the first start
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
Before=ssh.service

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key
ExecStart=-/usr/bin/ssh-keygen -q -t ecdsa -N "" -f /etc/ssh/ssh_host_ecdsa_key

[Install]
WantedBy=multi-user.target ssh.service
`;

/** What nobody waits for comes last. */
const AGENT = `[Unit]
Description=What the host is told of this machine (xenstore)
ConditionVirtualization=xen
ConditionPathExists=/dev/xen/xenbus
After=multi-user.target

[Service]
ExecStart=/usr/lib/xenolith/guest-agent
Restart=on-failure
RestartSec=10

[Install]
WantedBy=multi-user.target
`;

const GROW_ROOT = `[Unit]
Description=The root file system grows with its disk
ConditionPathIsReadWrite=/
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/usr/lib/xenolith/grow-root

[Install]
WantedBy=multi-user.target
`;

/** A script beside this file. */
const script = (name: string): string => readFileSync(join(import.meta.dirname, name), 'utf8');

/** The agent says as its version which Xenolith it is of. */
function guestAgent(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  const [major, minor, micro] = version.split(/[.-]/) as [string, string, string];
  const numbers: Record<string, string> = { MAJOR: major, MINOR: minor, MICRO: micro };
  return script('guest-agent').replace(/@(M\w+)@/g, (_, name: string) => numbers[name]!);
}

/** The host's own sources of Debian: those that everybody can reach. */
const sourcesList = (sources: readonly Source[]): string =>
  sources
    .filter(({ uri, origin }) => origin === 'Debian' && /^https?:\/\/[^@]*$/.test(uri))
    .map(({ uri, suite, component }) => `deb [signed-by=${KEYRING}] ${uri} ${suite} ${component}\n`)
    .join('');

export const systemFiles = (sources: readonly Source[], filters: readonly string[]): TarEntry[] => [
  entry('etc/dpkg/dpkg.cfg.d/xenolith', filters.map((filter) => `${filter}\n`).join('')),
  entry('etc/apt/sources.list', sourcesList(sources)),
  entry('etc/default/locale', 'LANG=C.UTF-8\n'),
  entry('etc/initramfs-tools/conf.d/xenolith', INITRAMFS),
  entry('etc/initramfs-tools/modules', INITRAMFS_MODULES.map((name) => `${name}\n`).join('')),
  entry('etc/kernel-img.conf', 'do_symlinks=yes\nimage_dest=/\n'),
  entry('etc/systemd/network/80-dhcp.network', NETWORK),
  entry('etc/systemd/system/ssh-host-keys.service', HOST_KEYS),
  entry('etc/systemd/system/xenolith-guest-agent.service', AGENT),
  entry('etc/systemd/system/xenolith-grow-root.service', GROW_ROOT),
  folder('usr/lib/xenolith'),
  entry('usr/lib/xenolith/guest-agent', guestAgent(), { mode: 0o755 }),
  entry('usr/lib/xenolith/grow-root', script('grow-root'), { mode: 0o755 }),
  folder('usr/lib/xenolith/repart.d'),
  entry('usr/lib/xenolith/repart.d/root.conf', '[Partition]\nType=root\n'),
];
