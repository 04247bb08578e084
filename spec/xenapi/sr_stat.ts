import { define } from './notation.ts';

export const sr_stat = define({
  name: 'sr_stat',
  about: 'How a place for disks is',
  lifecycle: '~kolkata lima',
  change: 'pool-admin',
  kind: 'value',
  enums: {
    sr_health: 'healthy recovering',
  },
  fields: [
    ['uuid', 'RO', 'string option', '~kolkata lima'],
    ['name_label', 'RO', 'string', '~kolkata lima', 'its name'],
    ['name_description', 'RO', 'string', '~kolkata lima', 'its description'],
    ['free_space', 'RO', 'int', '~kolkata lima', 'free bytes'],
    ['total_space', 'RO', 'int', '~kolkata lima', 'bytes in all'],
    ['clustered', 'RO', 'bool', '~kolkata lima', 'needs cluster software'],
    ['health', 'RO', 'enum sr_health', '~kolkata lima', 'how well it is'],
  ],
});
