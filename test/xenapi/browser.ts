// Debian's chromium without a window, driven by its DevTools protocol, and a page with noVNC in it.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, normalize } from 'node:path';
import { ROOT } from '../../bin/setup.cjs';
import { until } from '../host/bed.ts';

const NOVNC = join(ROOT, 'node_modules/@novnc/novnc');

const page = (url: string): string => `<!doctype html><title>a console</title>
<div id="screen" style="width: 800px; height: 600px"></div>
<script type="module">
  import RFB from '/novnc/core/rfb.js';
  const rfb = new RFB(document.getElementById('screen'), ${JSON.stringify(url)}, { wsProtocols: ['binary'] });
  for (const name of ['connect', 'disconnect', 'desktopname', 'securityfailure'])
    rfb.addEventListener(name, ({ detail }) => { document.body.dataset[name] = JSON.stringify(detail ?? null); });
  rfb.focusOnClick = true;
  window.rfb = rfb;
</script>`;

/** Serves the page and noVNC's files as npm has them. */
async function serve(url: string): Promise<Server> {
  const server = createServer((request, response) => {
    const path = normalize(request.url ?? '/');
    if (path === '/') return response.writeHead(200, { 'content-type': 'text/html' }).end(page(url));
    try {
      const bytes = readFileSync(join(NOVNC, path.replace(/^\/novnc\//, '')));
      return response.writeHead(200, { 'content-type': 'text/javascript' }).end(bytes);
    } catch {
      return response.writeHead(404).end();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

export interface Picture {
  width: number;
  height: number;
  /** Of each pixel. */
  green: Buffer;
}

export class Browser {
  readonly #profile = mkdtempSync(join(tmpdir(), 'xenolith-chromium-'));
  #child: ChildProcess | undefined;
  #server: Server | undefined;
  #socket: WebSocket | undefined;
  #next = 1;
  readonly #waiting = new Map<number, (answer: { result?: unknown; error?: unknown }) => void>();

  /** Opens noVNC on a console. */
  async open(url: string): Promise<void> {
    this.#server = await serve(url);
    const { port } = this.#server.address() as AddressInfo;
    const child = spawn(
      'chromium',
      [
        ...['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'],
        // The host has made its certificate itself.
        ...[
          '--ignore-certificate-errors',
          '--remote-debugging-port=0',
          `--user-data-dir=${this.#profile}`,
          '--remote-allow-origins=*',
        ],
        'about:blank',
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#child = child;
    let said = '';
    child.stderr.on('data', (bytes: Buffer) => (said += bytes.toString()));
    await until(() => /DevTools listening on ws:/.test(said) || child.exitCode !== null, `chromium starts: ${said}`, 60_000); // prettier-ignore
    const address = /DevTools listening on ws:\/\/([^/]+)/.exec(said)?.[1];
    if (address === undefined) throw new Error(`chromium does not start: ${said}`);
    const target = await fetch(`http://${address}/json/new?http://127.0.0.1:${port}/`, { method: 'PUT' });
    const { webSocketDebuggerUrl } = (await target.json()) as { webSocketDebuggerUrl: string };
    const socket = new WebSocket(webSocketDebuggerUrl);
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => {
      const { id, ...answer } = JSON.parse(data as string) as { id?: number };
      if (id !== undefined) this.#waiting.get(id)?.(answer);
    });
    await once(socket, 'open');
  }

  async #send<T>(method: string, params: object): Promise<T> {
    const id = this.#next++;
    const answer = new Promise<{ result?: unknown; error?: unknown }>((resolve) => this.#waiting.set(id, resolve));
    this.#socket!.send(JSON.stringify({ id, method, params }));
    const { result, error } = await answer;
    this.#waiting.delete(id);
    if (error !== undefined) throw new Error(`${method}: ${JSON.stringify(error)}`);
    return result as T;
  }

  async evaluate<T>(expression: string): Promise<T> {
    const { result } = await this.#send<{ result: { value: T } }>('Runtime.evaluate', { expression, returnByValue: true }); // prettier-ignore
    return result.value;
  }

  /** What noVNC has told by an event of that name. */
  told = (name: string): Promise<string | undefined> => this.evaluate(`document.body?.dataset.${name}`);

  /** What noVNC has drawn. */
  async picture(): Promise<Picture | undefined> {
    const drawn = await this.evaluate<{ width: number; height: number; green: string } | null>(`(() => {
      const canvas = document.querySelector('#screen canvas');
      if (!canvas || canvas.width === 0) return null;
      const { width, height } = canvas;
      const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
      let green = '';
      for (let i = 1; i < data.length; i += 4) green += String.fromCharCode(data[i]);
      return { width, height, green: btoa(green) };
    })()`);
    return drawn ? { ...drawn, green: Buffer.from(drawn.green, 'base64') } : undefined;
  }

  /** Presses keys, as the system would tell the browser. */
  async type(text: string): Promise<void> {
    await this.evaluate('rfb.focus()');
    for (const character of text) {
      const key = character === '\n' ? 'Enter' : character;
      const code = character === '\n' ? 'Enter' : /[a-z]/i.test(character) ? `Key${character.toUpperCase()}` : character === ' ' ? 'Space' : /\d/.test(character) ? `Digit${character}` : ''; // prettier-ignore
      const what = { key, code, text: character === '\n' ? '\r' : character, windowsVirtualKeyCode: key === 'Enter' ? 13 : character.toUpperCase().charCodeAt(0) }; // prettier-ignore
      await this.#send('Input.dispatchKeyEvent', { type: 'keyDown', ...what });
      await this.#send('Input.dispatchKeyEvent', { type: 'keyUp', ...what });
    }
  }

  async close(): Promise<void> {
    this.#socket?.close();
    this.#server?.close();
    this.#server?.closeAllConnections();
    if (this.#child && this.#child.exitCode === null) {
      const closed = once(this.#child, 'close');
      this.#child.kill('SIGKILL');
      await closed;
    }
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
