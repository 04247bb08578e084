// The switch's table: behind which port an address was last heard. Each port has room for so many of its own: who
// sends from ever new addresses pushes out its own oldest ones, nobody else's.

export const MACS_PER_PORT = 1024;
export const AGE_MS = 300_000;

interface Entry {
  port: number;
  seen: number;
}

export class MacTable {
  /** a VLAN's addresses */
  readonly #vlans = new Map<number, Map<number, Entry>>();
  /** a port's addresses with their VLANs, oldest first, as `mac * 4096 + vlan` cannot be a number */
  readonly #ports = new Map<number, Map<string, [vlan: number, mac: number]>>();

  learn(vlan: number, mac: number, port: number, now: number): void {
    let table = this.#vlans.get(vlan);
    if (!table) this.#vlans.set(vlan, (table = new Map()));
    const entry = table.get(mac);
    if (entry?.port === port) {
      entry.seen = now;
      return;
    }
    if (entry) this.#ports.get(entry.port)?.delete(`${vlan} ${mac}`);
    let own = this.#ports.get(port);
    if (!own) this.#ports.set(port, (own = new Map()));
    if (own.size >= MACS_PER_PORT) {
      const [key, [oldVlan, oldMac]] = own.entries().next().value!;
      own.delete(key);
      this.#vlans.get(oldVlan)?.delete(oldMac);
    }
    own.set(`${vlan} ${mac}`, [vlan, mac]);
    table.set(mac, { port, seen: now });
  }

  /** The port behind which the address is, if that is known and not too old. */
  find(vlan: number, mac: number, now: number): number | undefined {
    const entry = this.#vlans.get(vlan)?.get(mac);
    if (!entry) return undefined;
    if (now - entry.seen <= AGE_MS) return entry.port;
    this.#vlans.get(vlan)!.delete(mac);
    this.#ports.get(entry.port)?.delete(`${vlan} ${mac}`);
    return undefined;
  }

  forget(port: number): void {
    for (const [vlan, mac] of this.#ports.get(port)?.values() ?? []) this.#vlans.get(vlan)?.delete(mac);
    this.#ports.delete(port);
  }

  *entries(): Generator<{ vlan: number; mac: number; port: number; seen: number }> {
    for (const [vlan, table] of this.#vlans) for (const [mac, entry] of table) yield { vlan, mac, ...entry };
  }
}
