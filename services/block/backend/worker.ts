// The block service's worker: orders from the control side, and work whenever the bell rings.
import { parentPort } from 'node:worker_threads';
import { Box, type BoxData } from '../../../platform/box.ts';
import { whenBegun } from '../../../platform/service_domain.ts';
import { open_image } from '../image/open.ts';
import { Device } from './device.ts';
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
  const opened = async (device: Device, { path, format, readonly, within }: ImageOptions): Promise<Device> => {
    const backing = within === undefined ? 'follow' : { within };
    const image = await open_image(path, { format, readonly, backing, here: true });
    try {
      device.resume(image);
      return device;
    } catch (error) {
      await image.close();
      throw error;
    }
  };
  /** The image is back; what its rings have got meanwhile is begun. */
  const resume = async (device: Device, image: ImageOptions): Promise<void> => {
    try {
      await opened(device, image);
    } catch (error) {
      device.lose();
      throw error;
    } finally {
      engine.work();
    }
  };

  async function carryOut(order: Order): Promise<DeviceFacts | null> {
    switch (order.order) {
      case 'open': {
        const device = new Device(order.image.path, order.options, engine);
        const opening = order.held ? Promise.resolve(device) : opened(device, order.image);
        devices.set(order.device, opening);
        opening.catch(() => devices.delete(order.device));
        return { size: (await opening).size };
      }
      case 'close': {
        const device = await find(order.device);
        devices.delete(order.device);
        await device.close();
        return null;
      }
      case 'hold':
        await (await find(order.device)).hold();
        return null;
      case 'resume': {
        // Closed meanwhile: its guest has ended.
        const device = await devices.get(order.device);
        // Not away: an order that is given again, since nobody knows whether it had been carried out.
        if (device?.away) await resume(device, order.image);
        return device ? { size: device.size } : null;
      }
      case 'resize': {
        const device = await find(order.device);
        await device.resize(order.size);
        return { size: device.size };
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
