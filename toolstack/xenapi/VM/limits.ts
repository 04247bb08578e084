/** Bounds that a VM's memory and vCPUs keep, whoever sets them. */
import type { Value } from '../../../spec/xenapi/types.ts';
import { Failure } from '../failure.ts';

const MAX_VCPUS = 128;

export interface Memory {
  memory_static_min: number;
  memory_dynamic_min: number;
  memory_dynamic_max: number;
  memory_static_max: number;
}

export function checkMemory(values: object): void {
  const { memory_static_min, memory_dynamic_min, memory_dynamic_max, memory_static_max } = values as Memory;
  const order = [0, memory_static_min, memory_dynamic_min, memory_dynamic_max, memory_static_max];
  for (let i = 1; i < order.length; i++)
    if (order[i] < order[i - 1])
      throw new Failure('MEMORY_CONSTRAINT_VIOLATION', 'static_min ≤ dynamic_min ≤ dynamic_max ≤ static_max');
}

export function checkVcpus(values: Record<string, Value>): void {
  const [startup, max] = [values.VCPUs_at_startup as number, values.VCPUs_max as number];
  const wrong = (field: string, value: number, why: string) =>
    new Failure('VALUE_NOT_SUPPORTED', field, String(value), why);
  if (max < 1 || max > MAX_VCPUS) throw wrong('VCPUs_max', max, `it has to be 1 to ${MAX_VCPUS}`);
  if (startup < 1 || startup > max) throw wrong('VCPUs_at_startup', startup, 'it has to be 1 to VCPUs_max');
}
