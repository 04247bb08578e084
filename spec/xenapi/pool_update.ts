import { define } from './notation.ts';

export const pool_update = define({
  name: 'pool_update',
  about: 'An update of the software',
  lifecycle: 'ely',
  change: 'pool-operator',
  enums: {
    update_after_apply_guidance: 'restartHVM restartPV restartHost restartXAPI',
    livepatch_status: 'ok_livepatch_complete ok_livepatch_incomplete ok',
  },
  // prettier-ignore
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['name_label', 'ctor', 'string = ""', 'rio'],
    ['name_description', 'ctor', 'string = ""', 'rio'],
    ['version', 'ctor', 'string = ""', 'ely', "the update's version"],
    ['installation_size', 'ctor', 'int = 0', 'ely', 'bytes when installed'],
    ['key', 'ctor', 'string = ""', 'ely', 'who signed it'],
    ['after_apply_guidance', 'ctor', 'enum update_after_apply_guidance set = {}', 'ely', 'what must be restarted afterwards'],
    ['vdi', 'ctor', 'VDI ref', 'rio', 'disk that carries it'],
    ['hosts', 'RO', 'host ref set', 'ely', 'where it is applied'],
    ['other_config', 'RW', '(string -> string) map = {}', 'inverness'],
    ['enforce_homogeneity', 'ctor', 'bool = false', 'inverness', 'members must have it all or none'],
  ],
  // prettier-ignore
  messages: [
    ['introduce', 'VDI ref vdi', 'pool_update ref', 'pool-operator', 'ely', 'makes one known from a disk'],
    ['precheck', 'pool_update ref self, host ref host', 'enum livepatch_status', 'pool-operator', 'ely', 'tries whether it would apply'],
    ['apply', 'pool_update ref self, host ref host', 'void', 'pool-operator', 'ely', 'applies it to one host'],
    ['pool_apply', 'pool_update ref self', 'void', 'pool-operator', 'ely', 'applies it to every member'],
    ['pool_clean', 'pool_update ref self', 'void', 'pool-operator', 'ely', 'deletes its files on every member'],
    ['destroy', 'pool_update ref self', 'void', 'pool-operator', 'ely', 'forgets it'],
  ],
});
