/** public/version.h. The text answers (extraversion, capabilities, …) are plain character arrays: see `../version.ts`. */
import { array, char, structs, u32, u8, xen_ulong_t } from '../layout.ts';

export const version = structs({
  xen_compile_info: {
    compiler: array(char, 64),
    compile_by: array(char, 16),
    compile_domain: array(char, 32),
    compile_date: array(char, 32),
  },
  xen_platform_parameters: { virt_start: xen_ulong_t },
  xen_feature_info: { submap_idx: u32, submap: u32 },
  xen_build_id: { len: u32, buf: array(u8, 0) },
});
