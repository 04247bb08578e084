// The block service's worker: orders from the control side, and work whenever the bell rings.
import { parentPort } from 'node:worker_threads';
import { Box, type BoxData } from '../../../platform/box.ts';
import { whenBegun } from '../../../platform/service_domain.ts';
import { open_image } from '../image/open.ts';
import { Device } from './device.ts';
import { Engine } from './engine.ts';
import type { DeviceFacts, FromWorker, Order, ToWorker } from './messages.ts';

function main(data: BoxData): void {
  const box = new Box(data);
  const tell = (message: FromWorker): void => parentPort!.postMessage(message);
  const engine = new Engine(box, {
    broken: (ring, why) => tell({ broken: ring.id, why }),
    report: (text) => tell({ report: text }),
  });
  const devices = new Map<number, Device>();
  const find = (id: number): Device => {
    const device = devices.get(id);
    if (!device) throw new Error(`there is no device ${id}`);
    return device;
  };

  async function carryOut(order: Order): Promise<DeviceFacts | null> {
    switch (order.order) {
      case 'open': {
        const { path, format, readonly } = order.image;
        const image = await open_image(path, { format, readonly });
        devices.set(order.device, new Device(image, order.options, engine));
        return { size: image.size };
      }
      case 'close': {
        const device = find(order.device);
        devices.delete(order.device);
        await device.image.close();
        return null;
      }
      case 'resize': {
        const { image } = find(order.device);
        await image.resize(order.size);
        return { size: image.size };
      }
      case 'attach':
        engine.add(order.ring, find(order.ring.device));
        return null;
      case 'detach':
        await engine.stop(order.ring);
        return null;
    }
  }

  parentPort!.on('message', (message: ToWorker) => {
    const { call } = message;
    carryOut(message).then(
      (result) => tell({ call, result }),
      (error: Error & { kind?: string }) =>
        tell({ call, error: { message: error.message, kind: error.kind ?? 'failed' } }),
    );
  });

  void box.listen(() => engine.work());
}

if (parentPort) whenBegun(parentPort, main);
