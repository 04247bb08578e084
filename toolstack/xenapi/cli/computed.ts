/** Parameters that are no field of any object. */
import { NULL_REF } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Shell } from './shell.ts';
import { nameOf, NOT_THERE, uuidOf } from './values.ts';

type Computed = (shell: Shell, row: Row) => Promise<string | string[]> | string | string[];

const strings = async (shell: Shell, method: string, row: Row): Promise<string[]> =>
  (await shell.call(method, row.ref)) as string[];

function metrics({ xapi }: Shell, pif: Row): Row | undefined {
  return xapi.db.find('PIF_metrics', pif.text('metrics'));
}

export const COMPUTED: Record<string, Computed> = {
  /** Where an SR is, if it is in one place. */
  sr_host: ({ xapi: { db } }, sr) => {
    const pbds = sr.refs('PBDs');
    if (pbds.length > 1) return '<shared>';
    return pbds.length === 0 ? NOT_THERE : nameOf(db, 'host', db.row('PBD', pbds[0]).text('host'));
  },
  vdi_name_label: ({ xapi: { db } }, vbd) => (vbd.flag('empty') ? '<EMPTY>' : nameOf(db, 'VDI', vbd.text('VDI'))),
  attachable: async (shell, vbd) => {
    try {
      await shell.call('VBD.assert_attachable', vbd.ref);
      return 'true';
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return `false (error: ${error.code}: [ ${error.params.join('; ')} ])`;
    }
  },
  allowed_VBD_devices: (shell, vm) => strings(shell, 'VM.get_allowed_VBD_devices', vm),
  allowed_VIF_devices: (shell, vm) => strings(shell, 'VM.get_allowed_VIF_devices', vm),
  possible_hosts: async (shell, vm) =>
    (await strings(shell, 'VM.get_possible_hosts', vm)).map((ref) => uuidOf(shell.xapi.db, 'host', ref)),
  last_boot_record: (_, vm) => `'${vm.text('last_booted_record')}'`,
  memory_free_computed: async (shell, host) => String(await shell.call('host.compute_free_memory', host.ref)),
  supported_sr_types: async (shell) => (await shell.call('SR.get_supported_types')) as string[],
  speed: (shell, pif) => {
    const found = metrics(shell, pif);
    return found ? `${found.number('speed')} Mbit/s` : NOT_THERE;
  },
  duplex: (shell, pif) => {
    const found = metrics(shell, pif);
    if (!found) return NOT_THERE;
    if (found.flag('duplex')) return 'full';
    return found.flag('carrier') ? 'half' : 'unknown';
  },
  /** By processor, from the metrics that are recorded. */
  utilisation: async (shell, vm) => {
    const { db } = shell.xapi;
    const number = db.find('VM_metrics', vm.text('metrics') ?? NULL_REF)?.number('VCPUs_number') ?? 0;
    const shown: string[] = [];
    for (let i = 0; i < number; i++) {
      try {
        const value = (await shell.call('VM.query_data_source', vm.ref, `cpu${i}`)) as number;
        shown.push(`${i}: ${value.toFixed(3)}`);
      } catch (error) {
        if (error instanceof Failure) return [];
        throw error;
      }
    }
    return shown;
  },
  unknown: () => '<unknown>',
};
