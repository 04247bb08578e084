import { define } from './notation.ts';

export const Repository = define({
  name: 'Repository',
  about: 'A source of updates',
  lifecycle: '1.301.0',
  change: 'pool-operator, cert',
  fields: [
    ['uuid', 'RO', 'string', '1.301.0'],
    ['name_label', 'RW', 'string = ""', 'rio'],
    ['name_description', 'RW', 'string = ""', 'rio'],
    ['binary_url', 'ctor', 'string = ""', '1.301.0', 'where packages are'],
    ['source_url', 'ctor', 'string = ""', '1.301.0', 'where sources are'],
    ['update', 'ctor', 'bool = false', '1.301.0', 'carries updates with their descriptions'],
    ['hash', 'RO', 'string = ""', '1.301.0', 'identifies what it last held'],
    ['gpgkey_path', 'ctor', 'string = ""', '~22.12.0', 'key it is signed with'],
  ],
  // prettier-ignore
  messages: [
    ['introduce', 'string name_label, string name_description, string binary_url, string source_url, bool update, string gpgkey_path = ""', 'Repository ref', 'pool-operator, cert', '1.301.0', 'makes one known'],
    ['forget', 'Repository ref self', 'void', 'pool-operator, cert', '1.301.0', 'forgets it'],
    ['set_gpgkey_path', 'Repository ref self, string value', 'void', 'pool-operator, cert', '~22.12.0', 'names another key'],
  ],
});
