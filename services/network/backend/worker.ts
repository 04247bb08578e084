// The network service's worker: orders from the control side, and work whenever the bell rings.
import { parentPort } from 'node:worker_threads';
import { Box, type BoxData } from '../../../platform/box.ts';
import { whenBegun } from '../../../platform/service_domain.ts';
import { ARGUMENTS, JOURNAL_HEAD, SLOT_SIZE, strideOf, type RingAt, type TakeResult } from '../../lib/ring_calls.ts';
import { MOST, RingBatch } from '../../lib/ring_batch.ts';
import { ForwardError } from '../nat/forward.ts';
import { Engine } from './engine.ts';
import type { FromWorker, Order, ToWorker } from './messages.ts';
import { Networks } from './networks.ts';

/** What was taken and not answered by who was here before, in the order in which it was taken. */
function journal(
  box: Box,
  { journal: at, entries, entrySize }: RingAt,
): { view: DataView; taken: TakeResult['requests'] } {
  const stride = strideOf(entrySize);
  const bytes = box.read(at + JOURNAL_HEAD, entries * stride);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const taken: TakeResult['requests'] = [];
  for (let slot = 0; slot < entries; slot++) {
    const sequence = view.getUint32(slot * stride + 4, true);
    if (sequence !== 0) taken.push({ slot, sequence, at: slot * stride + SLOT_SIZE });
  }
  taken.sort((a, b) => (a.sequence - b.sequence) | 0);
  return { view, taken };
}

function main(data: BoxData): void {
  const box = new Box(data);
  const tell = (message: FromWorker): void => parentPort!.postMessage(message);
  const engine = new Engine(new RingBatch(box), MOST, { bytes: box.heap, from: ARGUMENTS }, {
    broken: (vif, why) => tell({ broken: vif.id, why }),
  }); // prettier-ignore
  const networks = new Networks(engine, (ring) => journal(box, ring), tell);

  async function answer(message: ToWorker): Promise<void> {
    const { call } = message;
    try {
      tell({ call, result: await networks.carryOut(message as Order) });
    } catch (error) {
      const kind = error instanceof ForwardError ? 'refused' : 'failed';
      tell({ call, error: { message: (error as Error).message, kind } });
    }
  }
  parentPort!.on('message', (message: ToWorker) => void answer(message));
  void box.listen(() => engine.work());
}

if (parentPort) whenBegun(parentPort, main);
