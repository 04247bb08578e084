import { define } from './notation.ts';

export const probe_result = define({
  name: 'probe_result',
  about: 'A place for disks that was found',
  lifecycle: '~kolkata lima',
  change: 'pool-admin',
  kind: 'value',
  fields: [
    ['configuration', 'RO', '(string -> string) map', '~kolkata lima', 'what connecting to it needs'],
    ['complete', 'RO', 'bool', '~kolkata lima', 'nothing is missing in that'],
    ['sr', 'RO', 'sr_stat record option', '~kolkata lima', 'the place itself, if there is one'],
    ['extra_info', 'RO', '(string -> string) map', '~kolkata lima', 'whatever else the driver says'],
  ],
});
