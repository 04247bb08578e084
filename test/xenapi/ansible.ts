// Ansible's modules for XenServer (community.general), unmodified, as Debian has them: a play of tasks and what became of each.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { need } from '../../tools/apt.ts';
import { run } from './bed.ts';

/** XenAPI.py itself, which Debian has in another package's folder. */
const XENAPI = '/usr/lib/python3/dist-packages/os_xenapi/client';

export const packages = (): Promise<void> => need('ansible', 'python3-os-xenapi');

export interface Task {
  /** Without what all modules begin with: `guest`, `guest_info`, `guest_powerstate`. */
  module: string;
  args: Record<string, unknown>;
  /** Only to see what would change. */
  check?: boolean;
  /** It is to fail. */
  fails?: boolean;
}

export interface Outcome {
  changed: boolean;
  failed?: boolean;
  msg?: string;
  instance?: Record<string, any>;
  changes?: unknown[];
}

/** Does the tasks in their order; all have to end as they should. */
export async function play(
  host: { url: string; password: string; certificate?: string },
  tasks: Task[],
): Promise<Outcome[]> {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-ansible-'));
  const login = { hostname: host.url, username: 'root', password: host.password, validate_certs: false };
  const book = [
    {
      ...{ hosts: 'localhost', gather_facts: false },
      tasks: tasks.map(({ module, args, check = false, fails = false }, i) => ({
        name: `${i}`,
        [`community.general.xenserver_${module}`]: { ...login, ...args },
        check_mode: check,
        ignore_errors: fails,
      })),
    },
  ];
  // That XenAPI.py cannot leave a certificate unchecked: it is told whom to trust.
  const trust = host.certificate === undefined ? {} : { SSL_CERT_FILE: host.certificate };
  const path = join(folder, 'play.yml');
  writeFileSync(path, JSON.stringify(book));
  const env = { ...trust, PYTHONPATH: XENAPI, HOME: folder, ANSIBLE_STDOUT_CALLBACK: 'json', ANSIBLE_LOCALHOST_WARNING: 'False', LC_ALL: 'C.UTF-8' }; // prettier-ignore
  try {
    const { out, err } = await run('ansible-playbook', ['-i', 'localhost,', '-c', 'local', '-e', 'ansible_python_interpreter=/usr/bin/python3', path], '', env); // prettier-ignore
    const at = out.indexOf('{');
    assert.ok(at >= 0, `${out}${err}`);
    const { plays } = JSON.parse(out.slice(at)) as { plays: { tasks: { hosts: { localhost: Outcome } }[] }[] };
    const outcomes = plays[0].tasks.map(({ hosts }) => hosts.localhost);
    outcomes.forEach((each, i) => {
      const { module, args, fails = false } = tasks[i];
      assert.equal(
        each.failed ?? false,
        fails,
        `${i} ${module} ${JSON.stringify(args)}: ${JSON.stringify(each).slice(-1500)}`,
      );
    });
    assert.equal(outcomes.length, tasks.length, JSON.stringify(outcomes.at(-1)));
    return outcomes;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
