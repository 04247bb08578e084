import { define } from './notation.ts';

export const VTPM = define({
  name: 'VTPM',
  about: 'A virtual security chip',
  lifecycle: '~22.26.0',
  change: 'vm-admin',
  enums: {
    vtpm_operations: 'destroy',
    persistence_backend: 'xapi',
  },
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['allowed_operations', 'RO', 'enum vtpm_operations set = {}', 'rio'],
    ['current_operations', 'RO', '(string -> enum vtpm_operations) map = {}', 'rio'],
    ['VM', 'ctor', 'VM ref', 'rio', 'whose it is'],
    ['backend', 'RO', 'VM ref = Null', 'rio', 'domain that serves it'],
    ['persistence_backend', 'RO', 'enum persistence_backend = xapi', '~22.26.0', 'where its contents are kept'],
    ['is_unique', 'ctor', 'bool = false', '~22.26.0', 'must never be copied'],
    ['is_protected', 'RO', 'bool = false', '~22.26.0', 'its contents are encrypted'],
  ],
  messages: [
    ['create', 'VM ref vM, bool is_unique = false', 'VTPM ref', 'vm-admin', '~22.26.0', 'gives a machine one'],
    ['destroy', 'VTPM ref self', 'void', 'vm-admin', '~22.26.0', 'removes it with its contents'],
  ],
});
