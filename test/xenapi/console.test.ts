// A Debian guest's consoles as people have them: noVNC in a browser, VNC clients through a tunnel, `xe console` and `xl console`, all at once.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createClient } from 'xen-api';
import { ROOT } from '../../bin/setup.cjs';
import { guestImage } from '../../guests/image/index.ts';
import { ENCODING } from '../../services/rfb/protocol/messages.ts';
import { Reader, Viewer } from '../../services/rfb/testing.ts';
import { need } from '../../tools/apt.ts';
import { open } from '../../toolstack/xenapi/console/testing.ts';
import { xenapiPaths } from '../../toolstack/xenapi/server.ts';
import { VM_RECORD } from '../../toolstack/xenapi/testing.ts';
import { Bed, until } from '../host/bed.ts';
import { LONG_MS } from '../host/shell.ts';
import { run } from './bed.ts';
import { Browser } from './browser.ts';

const MIB = 2 ** 20;
const bed = new Bed();
const paths = xenapiPaths(bed.state);
const browser = new Browser();
const reader = new Reader();
let xapi: ReturnType<typeof createClient>;
let port = 0;
let password = '';
let session = '';
let vm = '';

before(async () => {
  await need('chromium', 'vncsnapshot', 'libjpeg-turbo-progs', 'libnet-vnc-perl');
  const { kernel, initrd } = guestImage();
  mkdirSync(paths.boot, { recursive: true, mode: 0o700 });
  copyFileSync(kernel, join(paths.boot, 'debian'));
  copyFileSync(initrd, join(paths.boot, 'initrd'));
  const said = await bed.up('--xenapi', '0', '--memory', '220');
  port = Number(/https:\S+:(\d+);/.exec(said)![1]);
  password = readFileSync(paths.password, 'utf8').trim();
  xapi = createClient({
    ...{ url: `https://127.0.0.1:${port}`, auth: { user: 'root', password }, allowUnauthorized: true },
    watchEvents: false,
  });
  await xapi.connect();
  session = xapi.sessionId;
  const memory = Object.fromEntries(['static_max', 'dynamic_max', 'dynamic_min'].map((each) => [`memory_${each}`, 144 * MIB])); // prettier-ignore
  vm = await xapi.call('VM.create', {
    ...{ ...VM_RECORD, ...memory, name_label: 'debian', domain_type: 'pvh' },
    ...{ PV_kernel: 'debian', PV_ramdisk: 'initrd', PV_args: 'console=hvc0 quiet rdinit=/init' },
  });
});
after(async () => {
  await browser.close();
  await xapi?.disconnect();
  await bed.close();
});

async function consoleOf(protocol: string): Promise<{ location: string; uuid: string }> {
  for (const ref of (await xapi.call('VM.get_consoles', vm)) as string[])
    if ((await xapi.call('console.get_protocol', ref)) === protocol)
      return { location: await xapi.call('console.get_location', ref), uuid: await xapi.call('console.get_uuid', ref) };
  return assert.fail(`there is no ${protocol} console`);
}

/** Where VNC clients that know nothing of XenAPI reach a console: a port here, behind it a CONNECT for each. */
async function tunnel(location: string): Promise<{ server: Server; port: number }> {
  const { pathname, search } = new URL(location);
  const server = createServer((client) => {
    client.on('error', () => {});
    void open(port, `${pathname}${search}`, { tls: true, headers: { Cookie: `session_id=${session}` } }).then(
      ({ status, socket }) => {
        // prettier-ignore
        if (status !== 200) return client.destroy();
        socket.pipe(client).on('close', () => socket.destroy());
        client.pipe(socket).on('close', () => client.destroy());
      },
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: (server.address() as AddressInfo).port };
}

/** A terminal at the other end of the console, for what screens are too small for. */
class Terminal {
  heard = '';
  readonly #write: (text: string) => void;
  constructor(stream: NodeJS.ReadableStream, write: (text: string) => void) {
    stream.on('data', (bytes: Buffer) => (this.heard += bytes.toString()));
    this.#write = write;
  }
  type(text: string): void {
    this.#write(text);
  }
  until(what: RegExp): Promise<void> {
    return until(() => what.test(this.heard), `${what}`, LONG_MS).catch((error: Error) => {
      throw new Error(`${error.message}: ${this.heard.slice(-300)}`);
    });
  }
}

/** Waits until noVNC shows a line. */
async function shown(what: RegExp): Promise<string[]> {
  let lines: string[] = [];
  const look = async (): Promise<boolean> => {
    const picture = await browser.picture();
    if (!picture) return false;
    const { width, height, green } = picture;
    lines = reader.lines(width, height, (x, y) => green[y * width + x]!);
    return lines.some((line) => what.test(line));
  };
  await until(look, `noVNC shows ${what}`, LONG_MS).catch((error: Error) => {
    throw new Error(`${error.message}\n${lines.filter(Boolean).join('\n')}`);
  });
  return lines;
}

const PERL = `
use Net::VNC;
my ($port, $text) = @ARGV;
my $vnc = Net::VNC->new({ hostname => '127.0.0.1', port => $port, password => '' });
$vnc->depth(24);
$vnc->login;
die 'another size' unless $vnc->width == 640 && $vnc->height == 400;
$vnc->capture;
# By name: a line's end is a key of its own.
$vnc->send_key_event_string($text);
$vnc->send_key_event(0xff0d);
select(undef, undef, undef, 0.5);
$vnc->capture->save('screen.pnm');
`;

/** A picture as vncsnapshot or Net::VNC has taken it. */
function linesOf(pnm: Buffer): string[] {
  // Grey, in colours, or with transparency; Imlib2 writes a line about itself.
  const head = /^P([568])\s+(?:#[^\n]*\n)?(\d+)\s+(\d+)\s+255\s/.exec(pnm.toString('latin1', 0, 200))!;
  const [kind, width, height] = head.slice(1).map(Number) as [5 | 6 | 8, number, number];
  const [size, green] = { 5: [1, 0], 6: [3, 1], 8: [4, 1] }[kind] as [number, number];
  return reader.lines(width, height, (x, y) => pnm[head[0].length + size * (y * width + x) + green]!);
}

test('a text guest: seen and typed at by noVNC, VNC clients, xe and xl at the same time', async (t) => {
  await xapi.call('VM.start', vm, false, false);
  const rfb = await consoleOf('rfb');
  assert.match(rfb.location, new RegExp(`^https://127\\.0\\.0\\.1:${port}/console\\?uuid=${rfb.uuid}$`));
  await browser.open(`${rfb.location.replace('https', 'wss')}&session_id=${session}`);
  await until(async () => (await browser.told('connect')) !== undefined, 'noVNC is connected', LONG_MS);
  assert.deepEqual(JSON.parse((await browser.told('desktopname'))!), { name: 'debian' });
  // The boot is drawn as it goes on, up to the shell's prompt.
  await shown(/reached/);
  await browser.type('expr 6 + 36\n');
  await shown(/^42$/);

  const { server, port: vnc } = await tunnel(rfb.location);
  t.after(() => server.close());
  const picture = join(bed.folder, 'screen.jpg');
  const display = `127.0.0.1:${vnc - 5900}`;
  const snapshot = await run('vncsnapshot', ['-quiet', '-quality', '100', display, picture]);
  assert.equal(snapshot.code, 0, snapshot.err);
  const pnm = join(bed.folder, 'screen.pnm');
  const converted = await run('djpeg', ['-pnm', '-outfile', pnm, picture]);
  assert.equal(converted.code, 0, converted.err);
  const lines = linesOf(readFileSync(pnm));
  assert.ok(lines.includes('42') && lines.some((line) => line.endsWith('expr 6 + 36')), lines.join('\n'));

  // Perl's Net::VNC types, and reads the answer.
  writeFileSync(join(bed.folder, 'type.pl'), PERL);
  const perl = spawn('perl', ['type.pl', String(vnc), 'expr 5 + 18'], { cwd: bed.folder, stdio: ['ignore', 'ignore', 'pipe'] }); // prettier-ignore
  let complaint = '';
  perl.stderr.on('data', (bytes: Buffer) => (complaint += bytes.toString()));
  const [code] = (await once(perl, 'close')) as [number];
  assert.equal(code, 0, complaint);
  const answered = linesOf(readFileSync(join(bed.folder, 'screen.pnm')));
  assert.ok(answered.includes('23'), answered.join('\n'));
  await shown(/^23$/);

  // The terminal's own way, and xl's, beside them.
  const xe = spawn(process.execPath, [join(ROOT, 'cli/xe/main.ts'), 'console', 'vm=debian', '-s', '127.0.0.1', '-p', String(port), '-u', 'root', '-pw', password], { stdio: 'pipe' }); // prettier-ignore
  const xl = bed.start('xl', ['console', 'debian']);
  t.after(() => [xe, xl].forEach((child) => child.kill()));
  const [text, other] = [xe, xl].map((child) => new Terminal(child.stdout!, (typed) => child.stdin!.write(typed)));
  // What nobody but screens has seen comes first, for whoever is first.
  await until(() => /expr 6 \+ 36/.test(text!.heard + other!.heard), 'they are connected', LONG_MS);
  text!.type('expr 70 + 7\n');
  await Promise.all([text!.until(/\n77\r/), shown(/^77$/)]);
  other!.type('expr 80 + 8\n');
  await Promise.all([text!.until(/\n88\r/), other!.until(/\n88\r/), shown(/^88$/)]);
  assert.match(text!.heard, /^Connecting to console on VM debian\. Press Ctrl \+ '\]' to quit\./);
  text!.type('\x1d');
  assert.deepEqual(await once(xe, 'close'), [0, null]);
});

test('after a reboot its frame buffer, by the same record; what was connected has been told', async () => {
  const { uuid } = await consoleOf('rfb');
  await xapi.call('VM.add_to_platform', vm, 'pvfb', 'true');
  await xapi.call('VM.hard_reboot', vm);
  await until(async () => (await browser.told('disconnect')) !== undefined, 'noVNC has been told', LONG_MS);
  const again = await consoleOf('rfb');
  assert.equal(again.uuid, uuid);
  const vt100 = await consoleOf('vt100');
  const ask = { tls: true, headers: { Cookie: `session_id=${session}` } };
  const { socket } = await open(port, `/console?uuid=${vt100.uuid}`, ask);
  const text = new Terminal(socket, (typed) => void socket.write(typed));
  const screen = await open(port, `/console?ref=${vm}`, ask);
  const v = await new Viewer(screen.socket, { encodings: [ENCODING.ZRLE, ENCODING.DESKTOP_SIZE] }).connect();
  await v.update(false);
  await text.until(/reached[^]*# /);
  while (v.width !== 800) await v.update();
  text.type('i=0; while [ $i -lt 50 ]; do printf "\\000\\200\\377\\000"; i=$((i+1)); done | dd of=/dev/fb0 bs=3200 seek=300\n'); // prettier-ignore
  while (v.pixels[300 * 800 + 49] !== 0xff8000) await v.update();
  assert.ok(v.pixels.subarray(300 * 800, 300 * 800 + 50).every((pixel) => pixel === 0xff8000));
  await xapi.call('VM.hard_shutdown', vm);
  await until(() => v.closed && socket.readableEnded, 'both ends are told');
  assert.deepEqual(await xapi.call('VM.get_consoles', vm), []);
  assert.equal((await open(port, `/console?uuid=${uuid}`, ask)).status, 404);
});
