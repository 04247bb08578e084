import { define } from './notation.ts';

export const SM = define({
  name: 'SM',
  about: 'A kind of storage the host can use',
  lifecycle: 'rio',
  change: 'pool-operator',
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['name_label', 'RO', 'string = ""', 'rio'],
    ['name_description', 'RO', 'string = ""', 'rio'],
    ['type', 'RO', 'string', 'rio', 'SRs of this type are its'],
    ['vendor', 'RO', 'string', 'rio', 'who wrote it'],
    ['copyright', 'RO', 'string', 'rio', 'whose it is'],
    ['version', 'RO', 'string', 'rio', "the driver's version"],
    ['required_api_version', 'RO', 'string', 'rio', 'interface it was written for'],
    ['configuration', 'RO', '(string -> string) map', 'rio', 'what connecting needs, with explanations'],
    ['capabilities', 'RO', 'string set = {}', 'miami !clearwater', 'what it can do, by name'],
    ['features', 'RO', '(string -> int) map = {}', 'clearwater', 'what it can do, with versions'],
    ['other_config', 'RW', '(string -> string) map = {}', 'miami'],
    ['driver_filename', 'RO', 'string = ""', 'orlando', 'where the driver is'],
    ['required_cluster_stack', 'RO', 'string set = {}', 'dundee', 'cluster software it needs, any of these'],
    ['host_pending_features', 'RO', '(host ref -> string set) map = {}', '24.37.0', 'what only some hosts can do yet'],
    ['supported_image_formats', 'RO', 'string set = {}', '26.15.0', 'image formats its disks can have'],
  ],
});
