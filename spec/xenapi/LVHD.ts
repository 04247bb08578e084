import { define } from './notation.ts';

export const LVHD = define({
  name: 'LVHD',
  about: 'Matters of disks on logical volumes',
  lifecycle: 'dundee',
  change: 'pool-admin',
  kind: 'unlisted',
  fields: [['uuid', 'RO', 'string', 'rio']],
  // prettier-ignore
  messages: [
    ['enable_thin_provisioning', 'host ref host, SR ref SR, int initial_allocation, int allocation_quantum', 'string', 'pool-admin', 'dundee', 'lets such a place allocate on demand'],
  ],
});
