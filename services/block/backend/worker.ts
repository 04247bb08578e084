// The block service's worker: orders from the control side, and work whenever the bell rings.
import { parentPort } from 'node:worker_threads';
import { Box, type BoxData } from '../../../platform/box.ts';
import { whenBegun } from '../../../platform/service_domain.ts';
import { open_image } from '../image/open.ts';
import { Device, type DeviceOptions } from './device.ts';
import { Engine } from './engine.ts';
import type { DeviceFacts, FromWorker, ImageOptions, Order, ToWorker } from './messages.ts';

function main(data: BoxData): void {
  const box = new Box(data);
  const tell = (message: FromWorker): void => parentPort!.postMessage(message);
  const engine = new Engine(box, {
    broken: (ring, why) => tell({ broken: ring.id, why }),
    report: (text) => tell({ report: text }),
  });
  /** Those that are being opened too: who comes with an order for one waits. */
  const devices = new Map<number, Promise<Device>>();
  const find = async (id: number): Promise<Device> => {
    const device = devices.get(id);
    if (!device) throw new Error(`there is no device ${id}`);
    return device;
  };
  const opened = async ({ path, format, readonly }: ImageOptions, options: DeviceOptions): Promise<Device> => {
    const image = await open_image(path, { format, readonly });
    try {
      return new Device(image, options, engine);
    } catch (error) {
      await image.close();
      throw error;
    }
  };

  async function carryOut(order: Order): Promise<DeviceFacts | null> {
    switch (order.order) {
      case 'open': {
        const opening = opened(order.image, order.options);
        devices.set(order.device, opening);
        opening.catch(() => devices.delete(order.device));
        return { size: (await opening).image.size };
      }
      case 'close': {
        const device = await find(order.device);
        devices.delete(order.device);
        await device.image.close();
        return null;
      }
      case 'resize': {
        const { image } = await find(order.device);
        await image.resize(order.size);
        return { size: image.size };
      }
      case 'attach':
        engine.add(order.ring, await find(order.ring.device));
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
