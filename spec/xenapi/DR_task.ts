import { define } from './notation.ts';

export const DR_task = define({
  name: 'DR_task',
  about: 'Disaster recovery under way',
  lifecycle: 'boston',
  change: 'pool-operator',
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['introduced_SRs', 'RO', 'SR ref set', 'rio', 'storage it has made known'],
  ],
  // prettier-ignore
  messages: [
    ['create', 'string type, (string -> string) map device_config, string set whitelist', 'DR_task ref', 'pool-operator', 'boston', "makes the other site's storage known"],
    ['destroy', 'DR_task ref self', 'void', 'pool-operator', 'boston', 'ends it and forgets that storage'],
  ],
});
