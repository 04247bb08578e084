import { define } from './notation.ts';

export const vdi_nbd_server_info = define({
  name: 'vdi_nbd_server_info',
  about: 'Where NBD clients find a disk',
  lifecycle: 'inverness',
  change: 'pool-admin',
  kind: 'value',
  fields: [
    ['exportname', 'RO', 'string', 'inverness', 'name to ask for; contains a secret'],
    ['address', 'RO', 'string', 'inverness', 'host to connect to'],
    ['port', 'RO', 'int', 'inverness', 'port to connect to'],
    ['cert', 'RO', 'string', 'inverness', 'certificate to expect'],
    ['subject', 'RO', 'string', 'inverness', 'host name in that certificate'],
  ],
});
