/** All transfers, by method and path. */
import { serveTransfer, type TransferRoute } from './transfer.ts';

const TRANSFERS: readonly TransferRoute[] = [];

export const TRANSFER_ROUTES = TRANSFERS.map((route) => [route.method, route.path, serveTransfer(route)] as const);
