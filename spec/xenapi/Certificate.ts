import { define } from './notation.ts';

export const Certificate = define({
  name: 'Certificate',
  about: 'A certificate on a host',
  lifecycle: 'stockholm',
  change: 'pool-admin',
  enums: {
    certificate_type: 'ca host host_internal',
  },
  fields: [
    ['uuid', 'RO', 'string', 'stockholm'],
    ['name', 'RO', 'string = ""', '1.294.0', 'its name, for trusted authorities'],
    ['type', 'RO', 'enum certificate_type = host', '1.294.0', 'what it is for'],
    ['host', 'ctor', 'host ref = Null', 'stockholm', 'where it is'],
    ['not_before', 'ctor', 'datetime = 19700101T00:00:00Z', 'stockholm', 'valid from'],
    ['not_after', 'ctor', 'datetime = 19700101T00:00:00Z', 'stockholm', 'valid until'],
    ['fingerprint', 'ctor', 'string = ""', 'stockholm', 'its SHA-256'],
  ],
});
