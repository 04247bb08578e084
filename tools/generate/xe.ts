// docs/XE.md: the commands of `xe` and what objects look like to it, from the tables in spec/xenapi/cli.
import { RECORDS } from '../../spec/xenapi/cli/records.ts';
import { commands, type Command } from '../../toolstack/xenapi/cli/commands.ts';
import { paramsOf } from '../../toolstack/xenapi/cli/fields.ts';

const HEAD = `# xe

Made by tools/generate/xe.ts from the tables that the host itself reads; \`xe help COMMAND\` says the same.

Every kind of object that is listed at the end has \`KIND-list\` (\`params=all\`, \`params=a,b\`, \`field=value\`, \`map-field:key=value\`,
\`set-field:contains=value\`, \`--minimal\`), \`KIND-param-list\` and \`KIND-param-get\`; where something can be set, \`KIND-param-set\`,
\`KIND-param-add\`, \`KIND-param-remove\` and \`KIND-param-clear\`. Commands with a selection take any field of the object: \`vm=NAME\`,
\`uuid=UUID\`, \`power-state=halted\`; for more than one object \`--multiple\`. Required parameters stand before the others, which are in brackets;
those with a colon at the end are maps (\`other-config:key=value\`).
`;

const isOfRecord = ({ name }: Command): boolean =>
  [...RECORDS.keys()].some((kind) => name === `${kind}-list` || name.startsWith(`${kind}-param-`));

function line(command: Command): string {
  const { name, required, optional, selects, about } = command;
  const rest = [...optional, ...(selects === undefined ? [] : [`<${selects}>`])];
  const params = [...required, ...(rest.length === 0 ? [] : [`[${rest.join(', ')}]`])].join(', ');
  return `| \`${name}\` | ${params.replaceAll('|', '\\|').replaceAll('<', '\\<')} | ${about} |`;
}

function kind(name: string): string {
  const table = RECORDS.get(name)!;
  const shown = paramsOf(table).filter((param) => !param.is('hidden'));
  const names = (writable: boolean): string =>
    shown.filter((param) => param.mark.writable === writable).map(({ name: each, mark }) => (mark.kind === ' ' ? each : `${each} (${mark.kind})`)).join(', '); // prettier-ignore
  return `| ${name} | ${table.class.name} | ${names(true)} | ${names(false)} |`;
}

export function generateXe(): { path: string; text: string }[] {
  const own = [...commands().values()].filter((each) => !each.hidden && !isOfRecord(each));
  const lines = own.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map(line); // prettier-ignore
  const kinds = [...RECORDS.keys()].toSorted().map(kind);
  const text = [
    HEAD,
    '## Commands',
    '| command | parameters | what it does |',
    '|---|---|---|',
    ...lines,
    '',
    '## Objects',
    'Sets are marked (S), maps (M).',
    '',
    '| kind | class | can be set | can be read |',
    '|---|---|---|---|',
    ...kinds,
    '',
  ].join('\n');
  return [{ path: 'docs/XE.md', text }];
}
