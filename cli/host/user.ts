// `xenolith user` and `xenolith database`: what the owner of a host's folder does to its XenAPI without logging in.
import { existsSync, mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { tryAcquire } from '../../bin/lock.cjs';
import { Refused } from '../../toolstack/control/refused.ts';
import { dump, restore } from '../../toolstack/xenapi/database/open.ts';
import { BadDatabase } from '../../toolstack/xenapi/database/store.ts';
import { xenapiPaths } from '../../toolstack/xenapi/server.ts';
import { ROOT, Users, validName } from '../../toolstack/xenapi/session/users.ts';
import { EXIT, parse, UsageError } from '../options.ts';
import { defaultState } from './options.ts';

const OPTIONS = { state: { type: 'string' }, help: { type: 'boolean', short: 'h' } } as const;

const HELP = `usage: xenolith user list | password NAME | remove NAME   [--state DIR]
       xenolith database dump FILE | restore FILE         [--state DIR]

user: local users of XenAPI. \`password\` makes a user or gives one another password, which it reads from its input. Users other than
      root may log in once they are a subject of the pool with a role.
database: writes XenAPI's objects as lines of JSON, or makes a new database of them for a host that is not running.

  --state DIR             the host's folder ($XENOLITH_STATE, else ~/.local/state/xenolith)

exit code: 0 done; 1 refused; 64 wrong usage; 65 no database, or no dump
`;

export async function manage(args: string[]): Promise<number> {
  const { values, positionals } = parse(args.slice(1), OPTIONS);
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const [what, name, more] = positionals as (string | undefined)[];
  const action = `${args[0]} ${what ?? ''}`;
  if (more !== undefined)
    throw new UsageError(`'${more}' is too much: \`xenolith ${args[0]} --help\` shows what there is.`);
  const state = values.state === undefined ? defaultState() : resolve(values.state as string);
  try {
    return await act(action, name, state);
  } catch (error) {
    if (!(error instanceof BadDatabase || error instanceof Refused)) throw error;
    process.stderr.write(`xenolith: ${error.message}\n`);
    return error instanceof BadDatabase ? EXIT.badImage : EXIT.failed;
  }
}

async function act(action: string, name: string | undefined, state: string): Promise<number> {
  const paths = xenapiPaths(state);
  const named = (): string => {
    if (name === undefined) throw new UsageError(`\`xenolith ${action}\` needs a name.`);
    return name;
  };
  switch (action) {
    case 'user list':
      for (const each of new Users(paths.users).names) process.stdout.write(`${each}\n`);
      return 0;
    case 'user password':
      return setPassword(named(), paths);
    case 'user remove':
      return removeUser(named(), paths.users);
    case 'database dump': {
      const count = await dump(paths.database, resolve(named()));
      process.stdout.write(`${count} objects\n`);
      return 0;
    }
    case 'database restore':
      return restoreInto(resolve(named()), state);
    default:
      throw new UsageError(
        `Nothing is known of '${action}': \`xenolith ${action.split(' ')[0]} --help\` shows what there is.`,
      );
  }
}

async function setPassword(name: string, paths: ReturnType<typeof xenapiPaths>): Promise<number> {
  if (!validName(name)) throw new Refused(`'${name}' is no user's name: letters, digits and ._- are, up to 32.`);
  const password = (await text(process.stdin)).replace(/\r?\n$/, '');
  if (password === '' || password.length > 1024)
    throw new Refused('the password, on the input, has 1 to 1024 characters.');
  mkdirSync(paths.folder, { recursive: true, mode: 0o700 });
  await new Users(paths.users).setPassword(name, password);
  return 0;
}

function removeUser(name: string, path: string): number {
  const users = new Users(path);
  if (!users.has(name)) throw new Refused(`there is no user '${name}'.`);
  if (name === ROOT) throw new Refused('root stays: give him another password instead.');
  users.remove(name);
  return 0;
}

async function restoreInto(from: string, state: string): Promise<number> {
  if (!existsSync(from)) throw new BadDatabase(`there is no file ${from}.`);
  const paths = xenapiPaths(state);
  mkdirSync(paths.folder, { recursive: true, mode: 0o700 });
  const lock = await tryAcquire(`${state}/host`);
  if (!lock) throw new Refused(`a host runs on ${state}: end it first.`);
  try {
    const count = await restore(from, paths.database);
    process.stdout.write(`${count} objects\n`);
    return 0;
  } finally {
    lock.release();
  }
}
