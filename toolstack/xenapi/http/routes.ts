/** All transfers, by method and path. */
import { exportDisk, importDisk } from '../VDI/transfers.ts';
import { exportMetadata, exportVm } from '../xva/export.ts';
import { importMetadata, importVm } from '../xva/import.ts';
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
];

export const TRANSFER_ROUTES = TRANSFERS.map((route) => [route.method, route.path, serveTransfer(route)] as const);
