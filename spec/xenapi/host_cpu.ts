import { define } from './notation.ts';

export const host_cpu = define({
  name: 'host_cpu',
  about: 'One processor of a host',
  lifecycle: 'rio !midnight-ride',
  change: 'pool-operator',
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['host', 'RO', 'host ref', 'rio', 'whose it is'],
    ['number', 'RO', 'int', 'rio', 'its number there'],
    ['vendor', 'RO', 'string', 'rio', 'its maker'],
    ['speed', 'RO', 'int', 'rio', 'megahertz'],
    ['modelname', 'RO', 'string', 'rio', "its model's name"],
    ['family', 'RO', 'int', 'rio', "its family's number"],
    ['model', 'RO', 'int', 'rio', "its model's number"],
    ['stepping', 'RO', 'string', 'rio', 'its stepping'],
    ['flags', 'RO', 'string', 'rio', 'features by name'],
    ['features', 'RO', 'string', 'rio', 'features as bits'],
    ['utilisation', 'RO', 'float', 'rio', 'busy part, 0 to 1'],
    ['other_config', 'RW', '(string -> string) map = {}', 'orlando'],
  ],
});
