import { define } from './notation.ts';

export const SDN_controller = define({
  name: 'SDN_controller',
  about: 'A controller of virtual switches',
  lifecycle: 'falcon',
  change: 'pool-operator',
  enums: {
    sdn_controller_protocol: 'ssl pssl',
  },
  fields: [
    ['uuid', 'RO', 'string', 'falcon'],
    ['protocol', 'ctor', 'enum sdn_controller_protocol = ssl', 'falcon', 'how it is reached'],
    ['address', 'ctor', 'string = ""', 'falcon', 'where it is'],
    ['port', 'ctor', 'int = 0', 'falcon', 'its port'],
  ],
  // prettier-ignore
  messages: [
    ['introduce', 'enum sdn_controller_protocol protocol = ssl, string address = "", int port = 0', 'SDN_controller ref', 'pool-operator', 'falcon', 'makes one known'],
    ['forget', 'SDN_controller ref self', 'void', 'pool-operator', 'falcon', 'forgets it'],
  ],
});
