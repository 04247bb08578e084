// A configuration as libxl's JSON (`xl create -n`, `xl list -l`): the same names, in the same order, defaults left out.
import type { ChannelConfig } from './channel.ts';
import type { DiskConfig } from './disk.ts';
import type { P9Config } from './p9.ts';
import type { VfbConfig } from './vfb.ts';
import type { VifConfig } from './vif.ts';
import type { DomainConfig, Action } from './domain.ts';

const DOMID_INVALID = 0xffffffff;

/** Values that libxl takes for granted are not printed. */
const UNSAID: Readonly<Record<string, Action>> = {
  on_poweroff: 'destroy',
  on_reboot: 'destroy',
  on_watchdog: 'destroy',
  on_crash: 'destroy',
  on_soft_reset: 'destroy',
};

function actions(config: DomainConfig): Record<string, string> {
  const all: [string, Action][] = [
    ['on_poweroff', config.onPoweroff],
    ['on_reboot', config.onReboot],
    ['on_watchdog', config.onWatchdog],
    ['on_crash', config.onCrash],
    ['on_soft_reset', config.onSoftReset],
  ];
  return Object.fromEntries(
    all.filter(([key, value]) => UNSAID[key] !== value).map(([k, v]) => [k, v.replaceAll('-', '_')]),
  );
}

const disk = ({ target, vdev, format, readonly, cdrom, discard }: DiskConfig): object => ({
  ...(target !== null && { pdev_path: target }),
  vdev,
  format: target === null ? 'empty' : format,
  ...(cdrom && { removable: 1 }),
  ...(!readonly && { readwrite: 1 }),
  ...(cdrom && { is_cdrom: 1 }),
  ...(!discard && { discard_enable: 'False' }),
  colo_restore_enable: 'False',
});

const nic = ({ mac, bridge, ip, rate, vifname, devid, mtu, trusted }: VifConfig): object => ({
  ...(devid !== undefined && { devid }),
  ...(mtu !== 1500 && { mtu }),
  ...(mac !== undefined && { mac }),
  ...(ip.length > 0 && { ip: ip.join(' ') }),
  bridge,
  ...(vifname !== undefined && { ifname: vifname }),
  ...(rate && {
    rate_bytes_per_interval: rate.burst,
    rate_interval_usecs: Math.round((rate.burst / rate.bytesPerSecond) * 1e6),
  }),
  ...(!trusted && { trusted: 'False' }),
});

const channel = ({ name, connection, path }: ChannelConfig, i: number): object => ({
  devid: i + 1,
  name,
  [`connection.${connection}`]: path === undefined ? {} : { path },
});

const vfb = ({ vnc, listen, display, unused, password, keymap }: VfbConfig, i: number): object => ({
  devid: i,
  vnc: {
    enable: vnc ? 'True' : 'False',
    listen,
    ...(password !== '' && { passwd: password }),
    ...(display !== undefined && { display }),
    findunused: unused ? 'True' : 'False',
  },
  sdl: {},
  ...(keymap !== undefined && { keymap }),
});

const p9 = ({ tag, path }: P9Config, devid: number): object => ({ tag, path, security_model: 'none', devid });

/** `running`: the domain exists, and what libxl adds to the configuration then is there too. */
export function configJson(config: DomainConfig, running = false): object {
  const type = config.type ?? 'pv';
  return {
    c_info: {
      type,
      name: config.name,
      ...(running && { domid: DOMID_INVALID }),
      uuid: config.uuid,
      run_hotplug_scripts: 'True',
    },
    b_info: {
      max_vcpus: config.maxVcpus,
      avail_vcpus: Array.from({ length: config.vcpus }, (_, i) => i),
      max_memkb: config.maxMemory,
      target_memkb: config.memory,
      ...(running && { video_memkb: 0 }),
      sched_params: {},
      claim_mode: 'True',
      ...(config.kernel !== undefined && { kernel: config.kernel }),
      ...(config.cmdline !== '' && { cmdline: config.cmdline }),
      ...(config.ramdisk !== undefined && { ramdisk: config.ramdisk }),
      ...(config.bootloader && {
        bootloader: config.bootloader.name,
        ...(config.bootloader.args.length > 0 && { bootloader_args: config.bootloader.args }),
      }),
      [`type.${type}`]: {},
      arch_arm: {},
      arch_x86: running ? { msr_relaxed: 'False' } : {},
    },
    ...(config.disks.length > 0 && { disks: config.disks.map(disk) }),
    ...(config.vifs.length > 0 && { nics: config.vifs.map(nic) }),
    ...(config.vfbs.length > 0 && { vfbs: config.vfbs.map(vfb), vkbs: config.vfbs.map((_, devid) => ({ devid })) }),
    ...(config.p9s.length > 0 && { p9s: config.p9s.map(p9) }),
    ...(config.channels.length > 0 && { channels: config.channels.map(channel) }),
    ...actions(config),
  };
}

/** libxl's layout: four blanks a level, and an empty object on lines of its own. */
export function libxlJson(value: unknown, indent = ''): string {
  const inner = `${indent}    `;
  if (Array.isArray(value)) {
    if (value.length === 0) return `[\n\n${indent}]`;
    return `[\n${value.map((v) => inner + libxlJson(v, inner)).join(',\n')}\n${indent}]`;
  }
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, v]) => v !== undefined);
  if (entries.length === 0) return `{\n\n${indent}}`;
  return `{\n${entries.map(([k, v]) => `${inner}${JSON.stringify(k)}: ${libxlJson(v, inner)}`).join(',\n')}\n${indent}}`;
}
