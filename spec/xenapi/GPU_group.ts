import { define } from './notation.ts';

export const GPU_group = define({
  name: 'GPU_group',
  about: 'Graphics processors that serve the same shares',
  lifecycle: 'boston',
  change: 'pool-operator',
  enums: {
    allocation_algorithm: 'breadth_first depth_first',
  },
  // prettier-ignore
  fields: [
    ['uuid', 'RO', 'string', 'boston'],
    ['name_label', 'RW', 'string = ""', 'boston'],
    ['name_description', 'RW', 'string = ""', 'boston'],
    ['PGPUs', 'RO', 'PGPU ref set', 'boston', 'its processors'],
    ['VGPUs', 'RO', 'VGPU ref set', 'boston', 'shares taken from it'],
    ['GPU_types', 'RO', 'string set = {}', 'boston', 'models it may contain'],
    ['other_config', 'RW', '(string -> string) map = {}', 'boston'],
    ['allocation_algorithm', 'RW', 'enum allocation_algorithm = depth_first', 'vgpu-tech-preview', 'which processor gets the next share'],
    ['supported_VGPU_types', 'RO', 'VGPU_type ref set', 'vgpu-productisation', 'kinds some of its processors could offer'],
    ['enabled_VGPU_types', 'RO', 'VGPU_type ref set', 'vgpu-productisation', 'kinds some of its processors offer'],
  ],
  // prettier-ignore
  messages: [
    ['create', 'string name_label = "", string name_description = "", (string -> string) map other_config = {}', 'GPU_group ref', 'pool-operator', 'boston', 'makes a group'],
    ['destroy', 'GPU_group ref self', 'void', 'pool-operator', 'boston', 'removes the group'],
    ['get_remaining_capacity', 'GPU_group ref self, VGPU_type ref vgpu_type', 'int', 'anyone', 'vgpu-tech-preview', 'tells how many more shares of a kind fit'],
  ],
});
