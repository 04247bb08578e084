// A Debian guest with interfaces, and its shell.
import assert from 'node:assert/strict';
import { NET_INIT, netInitrd } from '../../guests/net/build.ts';
import { LONG_MS, ShellGuest } from '../host/shell.ts';

export class NetGuest extends ShellGuest {
  /** Its domain, from the configuration on; resolves at its prompt. */
  async start(vif: string[], lines: Record<string, string | number | string[]> = {}): Promise<void> {
    await this.boot(await netInitrd(), NET_INIT, { vif, ...lines });
  }

  /** Starts a command that goes on; `finished` waits for it and gives what it has printed. Its parent is not the shell, which takes the end of a child of
   * its own for the end of its input. */
  async background(command: string): Promise<void> {
    await this.run(`( (${command} >/run/out 2>&1; : >/run/done) </dev/null & )`);
  }

  finished(ms = LONG_MS): Promise<string> {
    return this.run('while [ ! -e /run/done ]; do sleep 0.1; done; rm /run/done; cat /run/out', ms);
  }

  /** An address of an interface by DHCP. */
  async up(device = 'eth0'): Promise<string> {
    const said = await this.run(`net ${device}`);
    const address = /dhcp: (\S+) by/.exec(said)?.[1];
    assert.ok(address, said);
    return address;
  }
}
