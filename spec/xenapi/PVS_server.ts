import { define } from './notation.ts';

export const PVS_server = define({
  name: 'PVS_server',
  about: 'A provisioning server',
  lifecycle: 'ely',
  change: 'pool-operator',
  fields: [
    ['uuid', 'RO', 'string', 'ely'],
    ['addresses', 'ctor', 'string set = {}', 'ely', 'where it is'],
    ['first_port', 'ctor', 'int = 0', 'ely', 'lowest port it uses'],
    ['last_port', 'ctor', 'int = 0', 'ely', 'highest port it uses'],
    ['site', 'ctor', 'PVS_site ref = Null', 'ely', 'its site'],
  ],
  // prettier-ignore
  messages: [
    ['introduce', 'string set addresses, int first_port, int last_port, PVS_site ref site', 'PVS_server ref', 'pool-operator', 'ely', 'makes a server known'],
    ['forget', 'PVS_server ref self', 'void', 'pool-operator', 'ely', 'forgets the server'],
  ],
});
