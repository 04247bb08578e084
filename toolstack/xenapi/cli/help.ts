/** `xe help`: what there is, made from the tables. */
import { given, STANDARD, type Params } from './arguments.ts';
import type { Command } from './commands.ts';
import type { Printer } from './printer.ts';

const USAGE = `Usage:
  xe <command>
    [ -s <server> ]            the host
    [ -p <port> ]              its port
    [ -u <username> -pw <password> | -pwf <password file> ]
                               who calls; the file has both, a line each
    [ --nossl ]                without TLS
    [ --debug ]                show what is said between client and host
    [ --debug-on-fail ]        show it when a command has failed
    [ <other arguments> ... ]  of the command

To get help on a specific command:
  xe help <command>

`;

const ABOUT_SELECTION = {
  vm: ' VMs are selected by their fields: uuid=<uuid>, power-state=halted; vm=<name or uuid> is either. For more than one VM --multiple is needed. Without a selection all VMs are meant.',
  host: ' Hosts are selected by their fields; host=<name or uuid> is either. For more than one --multiple is needed. Without a selection all hosts are meant.',
  sr: ' Storage repositories are selected by their fields; sr=<name or uuid> is either. For more than one --multiple is needed. Without a selection all are meant.',
};

const WIDTH = 74;

/** Names with commas between, in lines. */
export function lines(names: readonly string[]): string[] {
  const made: string[] = [];
  let line = '';
  for (const name of names) {
    if (line !== '' && line.length + name.length > WIDTH) {
      made.push(line);
      line = '';
    }
    line += line === '' ? `    ${name}` : `, ${name}`;
  }
  return line === '' ? made : [...made, line];
}

export function describe(command: Command): [string, string][] {
  const { name, required, optional, selects, about } = command;
  const all = selects === undefined ? optional : [...optional, `<${selects}-selectors>`];
  return [
    ['command name        ', name],
    ['reqd params     ', required.join(', ')],
    ['optional params ', all.join(', ')],
    ['description     ', `${about}${selects === undefined ? '' : `.${ABOUT_SELECTION[selects]}`}`],
  ];
}

export async function help(printer: Printer, commands: ReadonlyMap<string, Command>, params: Params): Promise<void> {
  const about = params.map(([name]) => name).filter((name) => !STANDARD.has(name));
  if (about.length > 0) {
    for (const name of about) {
      const command = commands.get(name);
      if (command) await printer.table([describe(command)]);
      else await printer.list([`Unknown command '${name}'`]);
    }
    return;
  }
  const seen = [...commands.values()].filter((each) => !each.hidden).sort((a, b) => (a.name < b.name ? -1 : 1));
  const whole = given(params, 'all') === 'true';
  const shown = (whole ? seen : seen.filter((each) => each.standard)).map((each) => each.name);
  if (printer.minimal) return printer.list(shown);
  const title = whole ? 'Full command list' : 'Common command list';
  const hint = whole ? '' : 'To get a full listing of commands:\n  xe help --all\n\n';
  await printer.list([`${USAGE}${hint}${title}\n${'-'.repeat(title.length)}\n`]);
  const groups = whole ? ['host-', 'vm-', ''] : [''];
  const rest = new Set(shown);
  for (const group of groups) {
    const some = [...rest].filter((name) => name.startsWith(group));
    for (const name of some) rest.delete(name);
    await printer.list([...lines(some), ...(group === '' ? [] : [''])]);
  }
}
