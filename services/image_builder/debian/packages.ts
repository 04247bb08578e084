/** What a Debian system of ours is made of, and what of its packages is left out. */

/** The first kernel, and what boots from a disk. */
const BOOT = ['linux-image-amd64', 'initramfs-tools', 'lz4', 'zstd'];
const SYSTEM = ['systemd-sysv', 'libpam-systemd', 'dbus', 'udev', 'kmod', 'procps', 'sudo', 'less', 'nano'];
const NETWORK = ['systemd-resolved', 'libnss-resolve', 'iproute2', 'iputils-ping', 'netbase', 'openssh-server', 'curl'];
const PACKAGES = ['apt', 'debian-archive-keyring', 'ca-certificates'];
/** With what the guest agent speaks to the host. */
const AGENT = ['xenstore-utils'];

/** Beside what no system is without. `usr-is-merged`: /bin, /sbin and /lib are links from the start, so nothing has to be moved. */
export const CHOSEN: readonly string[] = [...BOOT, ...SYSTEM, ...NETWORK, ...PACKAGES, ...AGENT, 'usr-is-merged'];

const DRIVERS_OF_HARDWARE = [
  ...['accessibility', 'bluetooth', 'comedi', 'edac', 'firewire', 'gpu', 'hwmon', 'iio', 'infiniband', 'isdn', 'leds'],
  ...['media', 'mfd', 'mmc', 'mtd', 'net/can', 'net/ethernet', 'net/phy', 'net/usb', 'net/wireless', 'net/wwan', 'nfc'],
  ...['nvme', 'pcmcia', 'platform', 'power', 'regulator', 'staging', 'thunderbolt', 'usb', 'scsi/*'],
];

/**
 * dpkg's own path filters (dpkg(1), --path-exclude), which the system keeps for what is installed later. A guest meets no hardware; documentation and
 * translations are read elsewhere.
 */
export const FILTERS: readonly string[] = [
  'path-exclude=/usr/share/doc/*',
  'path-include=/usr/share/doc/*/copyright',
  ...['man', 'info', 'locale', 'lintian'].map((name) => `path-exclude=/usr/share/${name}/*`),
  'path-include=/usr/share/locale/locale.alias',
  ...DRIVERS_OF_HARDWARE.map((name) => `path-exclude=/lib/modules/*/kernel/drivers/${name}/*`),
  ...['sound', 'net/bluetooth', 'net/mac80211', 'net/wireless'].map(
    (name) => `path-exclude=/lib/modules/*/kernel/${name}/*`,
  ),
];

/** Whether a path, as a package has it with a slash before it, is left out: the last filter that fits decides. */
export function excluder(filters: readonly string[]): (path: string) => boolean {
  const rules = filters.map((filter) => {
    const [, verb, pattern] = /^path-(exclude|include)=(.*)$/.exec(filter)!;
    const source = pattern!.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*');
    return { exclude: verb === 'exclude', pattern: new RegExp(`^${source}$`, 's') };
  });
  return (path) => rules.findLast(({ pattern }) => pattern.test(path))?.exclude ?? false;
}
