import { define } from './notation.ts';

export const pool_patch = define({
  name: 'pool_patch',
  about: 'An old-style hotfix',
  lifecycle: 'miami !ely',
  change: 'pool-operator',
  enums: {
    after_apply_guidance: 'restartHVM restartPV restartHost restartXAPI',
  },
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['name_label', 'ctor', 'string = ""', 'rio'],
    ['name_description', 'ctor', 'string = ""', 'rio'],
    ['version', 'ctor', 'string = ""', 'miami', "the hotfix's version"],
    ['size', 'RO', 'int = 0', 'miami', 'bytes of its file'],
    ['pool_applied', 'RO', 'bool = false', 'miami', 'to be applied to every member'],
    ['host_patches', 'RO', 'host_patch ref set', 'miami', 'hosts that have it'],
    ['after_apply_guidance', 'RO', 'enum after_apply_guidance set = {}', 'miami', 'what must be restarted afterwards'],
    ['pool_update', 'ctor', 'pool_update ref = Null', 'ely', 'its successor object'],
    ['other_config', 'RW', '(string -> string) map = {}', 'miami'],
  ],
  // prettier-ignore
  messages: [
    ['apply', 'pool_patch ref self, host ref host', 'string', 'pool-operator', 'miami !ely', 'applies it to one host'],
    ['pool_apply', 'pool_patch ref self', 'void', 'pool-operator', 'miami !ely', 'applies it to every member'],
    ['precheck', 'pool_patch ref self, host ref host', 'string', 'pool-operator', 'miami !ely', 'tries whether it would apply'],
    ['clean', 'pool_patch ref self', 'void', 'pool-operator', 'miami !ely', 'deletes its file'],
    ['pool_clean', 'pool_patch ref self', 'void', 'pool-operator', 'tampa !ely', 'deletes its file on every member'],
    ['destroy', 'pool_patch ref self', 'void', 'pool-operator', 'miami !ely', 'forgets it everywhere'],
    ['clean_on_host', 'pool_patch ref self, host ref host', 'void', 'pool-operator', 'tampa !ely', 'deletes its file on one host'],
  ],
});
