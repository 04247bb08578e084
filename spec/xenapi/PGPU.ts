import { define } from './notation.ts';

export const PGPU = define({
  name: 'PGPU',
  about: 'A graphics processor of a host',
  lifecycle: 'boston',
  change: 'pool-operator',
  enums: {
    pgpu_dom0_access: 'enabled disable_on_reboot disabled enable_on_reboot',
  },
  // prettier-ignore
  fields: [
    ['uuid', 'RO', 'string', 'boston'],
    ['PCI', 'ctor', 'PCI ref = Null', 'boston', 'the device'],
    ['GPU_group', 'ctor', 'GPU_group ref = Null', 'boston', 'group it serves'],
    ['host', 'RO', 'host ref = Null', 'boston', 'whose it is'],
    ['other_config', 'RW', '(string -> string) map = {}', 'boston'],
    ['supported_VGPU_types', 'RO', 'VGPU_type ref set', 'vgpu-tech-preview', 'kinds of shares it could offer'],
    ['enabled_VGPU_types', 'RO', 'VGPU_type ref set', 'vgpu-tech-preview', 'kinds of shares it offers'],
    ['resident_VGPUs', 'RO', 'VGPU ref set', 'vgpu-tech-preview', 'shares in use'],
    ['supported_VGPU_max_capacities', 'RO', '(VGPU_type ref -> int) map = {}', 'vgpu-productisation', 'how many shares of each kind fit'],
    ['dom0_access', 'RO', 'enum pgpu_dom0_access = enabled', 'cream', 'whether domain 0 uses it'],
    ['is_system_display_device', 'RO', 'bool = false', 'cream', "drives the host's own screen"],
    ['compatibility_metadata', 'RO', '(string -> string) map = {}', 'inverness', 'what migration must compare'],
  ],
  // prettier-ignore
  messages: [
    ['add_enabled_VGPU_types', 'PGPU ref self, VGPU_type ref value', 'void', 'pool-operator', 'vgpu-tech-preview', 'offers another kind'],
    ['remove_enabled_VGPU_types', 'PGPU ref self, VGPU_type ref value', 'void', 'pool-operator', 'vgpu-tech-preview', 'stops offering a kind'],
    ['set_enabled_VGPU_types', 'PGPU ref self, VGPU_type ref set value', 'void', 'pool-operator', 'vgpu-tech-preview', 'replaces the kinds it offers'],
    ['set_GPU_group', 'PGPU ref self, GPU_group ref value', 'void', 'pool-operator', 'vgpu-tech-preview', 'puts it into a group'],
    ['get_remaining_capacity', 'PGPU ref self, VGPU_type ref vgpu_type', 'int', 'anyone', 'vgpu-tech-preview', 'tells how many more shares of a kind fit'],
    ['enable_dom0_access', 'PGPU ref self', 'enum pgpu_dom0_access', 'pool-operator', 'cream', 'gives it to domain 0 after the next boot'],
    ['disable_dom0_access', 'PGPU ref self', 'enum pgpu_dom0_access', 'pool-operator', 'cream', 'takes it from domain 0 after the next boot'],
  ],
});
