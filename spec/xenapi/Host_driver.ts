import { define } from './notation.ts';

export const Host_driver = define({
  name: 'Host_driver',
  about: 'A driver that a host has in several versions',
  lifecycle: '~25.2.0',
  change: 'pool-admin',
  fields: [
    ['uuid', 'RO', 'string', '~25.2.0'],
    ['host', 'ctor', 'host ref = Null', '~25.2.0', 'where it is'],
    ['name', 'RO', 'string = ""', '~25.2.0', 'its name'],
    ['friendly_name', 'RO', 'string = ""', '~25.2.0', 'what people call it'],
    ['variants', 'RO', 'Driver_variant ref set', '~25.2.0', 'versions to choose from'],
    ['active_variant', 'RO', 'Driver_variant ref = Null', '~25.2.0', 'version in use'],
    ['selected_variant', 'RO', 'Driver_variant ref = Null', '~25.2.0', 'version of the next boot'],
    ['type', 'RO', 'string = ""', '~25.2.0', 'what devices it is for'],
    ['description', 'RO', 'string = ""', '~25.2.0', 'what it is'],
    ['info', 'RO', 'string = ""', '~25.2.0', 'more about it'],
  ],
  messages: [
    [
      'select',
      'Host_driver ref self, Driver_variant ref variant',
      'void',
      'pool-admin',
      '~25.2.0',
      'chooses a version',
    ],
    [
      'deselect',
      'Host_driver ref self',
      'void',
      'pool-admin',
      '~25.2.0',
      'goes without the driver after the next boot',
    ],
    ['rescan', 'host ref host', 'void', 'pool-admin', '~25.2.0', "looks for a host's drivers anew"],
  ],
});
