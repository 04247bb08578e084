/** All transfers, by method and path. */
import { exportDisk, importDisk } from '../VDI/transfers.ts';
import { openMetrics, rrdUpdates, wholeRrd } from '../rrd/routes.ts';
import { exportMetadata, exportVm } from '../xva/export.ts';
import { importMetadata, importVm } from '../xva/import.ts';
import { getBlob, putBlob } from '../blob/messages.ts';
import { systemStatus } from '../host/report.ts';
import { serveTransfer, type TransferRoute } from './transfer.ts';

const TRANSFERS: readonly TransferRoute[] = [
  { ...{ method: 'GET', path: '/export', name: 'get_export', allowed: 'vm-admin', task: 'VM.export' }, run: exportVm },
  { ...{ method: 'PUT', path: '/import', name: 'put_import', allowed: 'vm-admin', task: 'VM.import' }, run: importVm },
  {
    ...{ method: 'GET', path: '/export_metadata', name: 'get_export_metadata', allowed: 'vm-admin' },
    ...{ task: 'VM.metadata_export', run: exportMetadata },
  },
  {
    ...{ method: 'PUT', path: '/import_metadata', name: 'put_import_metadata', allowed: 'vm-admin' },
    ...{ task: 'VM.metadata_import', run: importMetadata },
  },
  {
    ...{ method: 'GET', path: '/export_raw_vdi', name: 'get_export_raw_vdi', allowed: 'vm-admin' },
    ...{ task: 'VDI.export', run: exportDisk },
  },
  {
    ...{ method: 'PUT', path: '/import_raw_vdi', name: 'put_import_raw_vdi', allowed: 'vm-admin' },
    ...{ task: 'VDI.import', run: importDisk },
  },
  { ...{ method: 'GET', path: '/rrd_updates', name: 'get_rrd_updates', allowed: 'anyone' }, run: rrdUpdates },
  { ...{ method: 'GET', path: '/host_rrd', name: 'get_host_rrd', allowed: 'anyone' }, run: wholeRrd('host', 'host') },
  { ...{ method: 'GET', path: '/vm_rrd', name: 'get_vm_rrd', allowed: 'anyone' }, run: wholeRrd('vm', 'VM') },
  { ...{ method: 'GET', path: '/sr_rrd', name: 'get_sr_rrd', allowed: 'anyone' }, run: wholeRrd('sr', 'SR') },
  { ...{ method: 'GET', path: '/metrics', name: 'get_metrics', allowed: 'anyone' }, run: openMetrics },
  {
    ...{ method: 'GET', path: '/system-status', name: 'get_system_status', allowed: 'pool-operator' },
    run: systemStatus,
  },
  { ...{ method: 'GET', path: '/blob', name: 'get_blob', allowed: 'anyone' }, run: getBlob },
  { ...{ method: 'PUT', path: '/blob', name: 'put_blob', allowed: 'vm-power-admin' }, run: putBlob },
];

export const TRANSFER_ROUTES = TRANSFERS.map((route) => [route.method, route.path, serveTransfer(route)] as const);
