import { define } from './notation.ts';

export const console = define({
  name: 'console',
  about: "A way to a machine's screen or terminal",
  lifecycle: 'rio',
  change: 'vm-admin',
  created: true,
  enums: {
    console_protocol: 'vt100 rfb rdp',
  },
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['protocol', 'RO', 'enum console_protocol', 'rio', 'what it speaks'],
    ['location', 'RO', 'string', 'rio', 'its URL'],
    ['VM', 'RO', 'VM ref', 'rio', 'whose it is'],
    ['other_config', 'RW', '(string -> string) map', 'rio'],
  ],
});
