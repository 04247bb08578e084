import { define } from './notation.ts';

export const VGPU = define({
  name: 'VGPU',
  about: "A machine's share of a graphics processor",
  lifecycle: 'boston',
  change: 'pool-operator',
  fields: [
    ['uuid', 'RO', 'string', 'boston'],
    ['VM', 'RO', 'VM ref', 'boston', 'whose it is'],
    ['GPU_group', 'RO', 'GPU_group ref', 'boston', 'where it is taken from'],
    ['device', 'RO', 'string = "0"', 'boston', "its place among the machine's devices"],
    ['currently_attached', 'RO', 'bool = false', 'boston', 'in use now'],
    ['other_config', 'RW', '(string -> string) map = {}', 'boston'],
    ['type', 'RO', 'VGPU_type ref = Null', 'vgpu-tech-preview', 'kind of share'],
    ['resident_on', 'RO', 'PGPU ref = Null', 'vgpu-tech-preview', 'processor it is on'],
    ['scheduled_to_be_resident_on', 'RO', 'PGPU ref = Null', 'dundee', 'processor it is about to be on'],
    ['compatibility_metadata', 'RO', '(string -> string) map = {}', 'inverness', 'what migration must compare'],
    ['extra_args', 'RW', 'string = ""', 'quebec', 'further arguments of its emulator'],
    ['PCI', 'RO', 'PCI ref = Null', 'quebec', 'device it is passed as'],
  ],
  // prettier-ignore
  messages: [
    ['create', 'VM ref VM, GPU_group ref GPU_group, string device = "0", (string -> string) map other_config = {}, VGPU_type ref type = Null', 'VGPU ref', 'pool-operator', 'boston', 'gives a machine one'],
    ['destroy', 'VGPU ref self', 'void', 'pool-operator', 'boston', 'takes it away'],
  ],
});
