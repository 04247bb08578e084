// Verbs of devices: networks, disks, channels, displays, and those of devices and features that this host does not have yet. Of the latter each is there,
// with its help, and says so; a list is empty.
import { BLOCK } from './block.ts';
import { CHANNEL } from './channel.ts';
import { DISPLAY } from './display.ts';
import { NETWORK } from './network.ts';
import type { Xl } from './context.ts';
import { Failure, type Given, type Verb } from './verb.ts';

/** The heads of Xen's tables. */
const HEADS: Readonly<Record<string, string>> = {
  vtpm: 'Idx BE Uuid                                 handle state evt-ch ring-ref BE-path   ',
  vdispl: 'Vdev  BE   handle state evt-ch ref connectors',
  vsnd: 'Vdev  BE   handle state evt-ch ref',
  usb: 'Idx BE state usb-ver ports BE-path',
  pci: 'Vdev Device',
};

const NAMES: Readonly<Record<string, string>> = {
  vtpm: 'TPM devices',
  vkb: 'keyboards',
  vdispl: 'displays',
  vsnd: 'sound devices',
  usb: 'USB devices',
  usbctrl: 'USB controllers',
  usbdev: 'USB devices',
  pci: 'PCI devices',
};

const list = (kind: string): Verb => ({
  name: `${kind}-list`,
  usage: '<Domain(s)>',
  about: `Show a domain's ${NAMES[kind]}`,
  needs: 1,
  completes: 'domain',
  run: async (xl: Xl, { args }: Given): Promise<number> => {
    xl.out(HEADS[kind]!);
    // No domain has one: what is looked for is whether the domains are there.
    for (const arg of args) await xl.domid(arg);
    return 0;
  },
});

/** A verb about a domain that ends in a refusal; a wrong domain is told first. */
function refused(name: string, usage: string, about: string, why: string): Verb {
  const domain = usage.startsWith('<Domain>');
  return {
    name,
    usage,
    about: `${about} (not supported yet)`,
    ...(domain && { needs: 1, completes: 'domain' as const }),
    run: async (xl: Xl, { args }: Given): Promise<number> => {
      if (domain) await xl.domid(args[0]!);
      throw new Failure(`xl: ${name} is not supported: ${why}.`);
    },
  };
}

const device = (kind: string, spec: string): Verb[] => {
  const why = `guests on this host have no ${NAMES[kind]} yet`;
  return [
    refused(`${kind}-attach`, `<Domain> ${spec}`, `Give a domain one of the ${NAMES[kind]}`, why),
    refused(`${kind}-detach`, '<Domain> <DevId>', `Take one of the ${NAMES[kind]} from a domain`, why),
  ];
};

const SAVING = 'domains cannot be saved, restored or migrated yet';
const HVM = 'that is for HVM guests, and there are PVH and PV guests only';
const PSR = 'the processor that guests see has no such resources';

/** FLASK is off: in Xen's words and with its exit code. */
const flask = (name: string, usage: string, about: string, needs = 0): Verb => ({
  name,
  usage,
  about,
  needs,
  run: (xl: Xl): number => {
    xl.out('Flask XSM Disabled');
    return 255;
  },
});

export const DEVICES: Verb[] = [
  ...NETWORK,
  ...BLOCK,
  ...CHANNEL,
  list('vtpm'),
  ...device('vtpm', '[uuid=UUID]'),
  ...DISPLAY,
  ...device('vkb', '<vkb-spec-component(s)>...'),
  list('vdispl'),
  ...device('vdispl', '[connectors=CONNECTORS]'),
  list('vsnd'),
  ...device('vsnd', '<vsnd-spec-component(s)>...'),
  list('pci'),
  ...device('pci', '<PCI_SPEC_STRING>'),
  list('usb'),
  ...device('usbctrl', '[version=VERSION] [ports=NUMBER]'),
  ...device('usbdev', 'hostbus=BUS hostaddr=DEVICE'),
  refused('button-press', '<Domain> <Button>', 'Press an ACPI button', HVM),
  refused('qemu-monitor-command', '<Domain> <Command>', 'Tell a device model something', HVM),
  refused('save', '<Domain> <CheckpointFile> [<ConfigFile>]', 'Save a domain', SAVING),
  refused('restore', '[<ConfigFile>] <CheckpointFile>', 'Restore a saved domain', SAVING),
  refused('migrate', '<Domain> <host>', 'Move a domain to another host', SAVING),
  refused('migrate-receive', '', 'Receive a domain', SAVING),
  refused('remus', '<Domain> [<host>]', 'Keep a copy of a domain on another host', SAVING),
  refused('devd', '[options]', 'Start back ends of a driver domain', 'the back ends are part of the host'),
  refused('pci-assignable-list', '', 'Show PCI devices for guests', 'the host has no PCI devices'),
  refused('pci-assignable-add', '<BDF>', 'Set a PCI device apart for guests', 'the host has no PCI devices'),
  refused('pci-assignable-remove', '<BDF>', 'Take a PCI device back from guests', 'the host has no PCI devices'),
  flask('getenforce', '', "Show whether FLASK's policy is enforced"),
  flask('setenforce', '<1|0|Enforcing|Permissive>', "Enforce FLASK's policy or do not", 1),
  flask('loadpolicy', '<policy file>', 'Load a policy for FLASK', 1),
  ...['psr-hwinfo', 'psr-cmt-attach', 'psr-cmt-detach', 'psr-cmt-show', 'psr-cat-set', 'psr-cat-show'].map((name) =>
    refused(name, '', 'Share out resources of a processor', PSR),
  ),
  ...['psr-mba-set', 'psr-mba-show'].map((name) => refused(name, '', 'Share out resources of a processor', PSR)),
];
