import { define } from './notation.ts';

export const VGPU_type = define({
  name: 'VGPU_type',
  about: 'A kind of share of a graphics processor',
  lifecycle: 'vgpu-tech-preview',
  change: 'pool-admin',
  enums: {
    vgpu_type_implementation: 'passthrough nvidia nvidia_sriov gvt_g mxgpu',
  },
  fields: [
    ['uuid', 'RO', 'string', 'vgpu-tech-preview'],
    ['vendor_name', 'ctor', 'string = ""', 'vgpu-tech-preview', 'its maker'],
    ['model_name', 'ctor', 'string = ""', 'vgpu-tech-preview', 'its model'],
    ['framebuffer_size', 'ctor', 'int = 0', 'vgpu-tech-preview', 'bytes of screen memory'],
    ['max_heads', 'ctor', 'int = 0', 'vgpu-tech-preview', 'screens it can drive'],
    ['max_resolution_x', 'ctor', 'int = 0', 'vgpu-productisation', 'widest screen'],
    ['max_resolution_y', 'ctor', 'int = 0', 'vgpu-productisation', 'highest screen'],
    ['supported_on_PGPUs', 'RO', 'PGPU ref set', 'vgpu-tech-preview', 'processors that could offer it'],
    ['enabled_on_PGPUs', 'RO', 'PGPU ref set', 'vgpu-tech-preview', 'processors that offer it'],
    ['VGPUs', 'RO', 'VGPU ref set', 'vgpu-tech-preview', 'shares of this kind'],
    ['supported_on_GPU_groups', 'RO', 'GPU_group ref set', 'vgpu-productisation', 'groups that could offer it'],
    ['enabled_on_GPU_groups', 'RO', 'GPU_group ref set', 'vgpu-productisation', 'groups that offer it'],
    ['implementation', 'ctor', 'enum vgpu_type_implementation = passthrough', 'dundee', 'technique behind it'],
    ['identifier', 'ctor', 'string = ""', 'dundee', 'key by which duplicates are found'],
    ['experimental', 'ctor', 'bool = false', 'dundee', 'not ready for serious use'],
    ['compatible_types_in_vm', 'RO', 'VGPU_type ref set = {}', 'quebec', 'kinds a machine may have beside it'],
  ],
});
