// Rules for every tracked text file.
import type { Finding, Source } from './sources.ts';

const MAX_LINES = 800;

/** Words are put together here so that this file does not match itself. */
const word = (...parts: string[]): string => parts.join('');

interface Rule {
  name: string;
  pattern: RegExp;
  message: string;
  /** files the rule does not apply to */
  except?: RegExp;
}

const RULES: Rule[] = [
  {
    name: 'unfinished',
    pattern: new RegExp(`\\b(${word('TO', 'DO')}|${word('FIX', 'ME')}|${word('X', 'XX')})\\b`),
    message: 'a mark of unfinished work: finish it or say in docs/ what is missing',
  },
  {
    name: 'registry',
    pattern: new RegExp(
      `${word('registry', '\\.')}(npmjs|yarnpkg)|${word('\\b(deb|security|snapshot)', '\\.debian')}\\.org`,
    ),
    message: 'names the host of a package registry: the package client knows it',
  },
  {
    name: 'machine path',
    pattern: new RegExp(
      `(?<![\\w.$}/-])/(${word('ho', 'me')}/\\w+|${word('Us', 'ers')}/\\w+|${word('ro', 'ot')}/|${word('wo', 'rk')}/|tmp/\\w+)`,
    ),
    message: "an absolute path of somebody's machine",
  },
  {
    name: 'licence',
    pattern: new RegExp(
      `${word('GNU ', 'General Public')} License (as published|for more)|${word('SPDX', '-License-Identifier')}: *(?!Apache-2\\.0)`,
    ),
    message: 'a licence mark other than Apache-2.0: was this copied?',
  },
  { name: 'conflict', pattern: /^(<{7}|>{7}|={7})( |$)/, message: 'a left-over merge conflict' },
  {
    name: 'white space',
    pattern: /[ \t]+$|^ *\t/,
    message: 'a tab or a trailing blank',
    except: /\.(md|S|c|h|mk)$|LICENSE/,
  },
];

/** Files made by tools or fixed by their origin. */
const FOREIGN = /^(package-lock\.json|LICENSE)$/;

export function repository(sources: Source[]): Finding[] {
  const findings: Finding[] = [];
  for (const { path, text } of sources) {
    if (FOREIGN.test(path)) continue;
    const lines = text.split('\n');
    const add = (line: number, rule: string, message: string) => findings.push({ path, line, rule, message });
    if (lines.length - 1 > MAX_LINES && !/^core\/gen\/|\.json$/.test(path)) {
      add(lines.length, 'length', `${lines.length - 1} lines: at most ${MAX_LINES}, 200 is better`);
    }
    if (text !== '' && !text.endsWith('\n')) add(lines.length, 'last line', 'no line end at the end of the file');
    lines.forEach((content, index) => {
      for (const rule of RULES) {
        if (!rule.except?.test(path) && rule.pattern.test(content)) add(index + 1, rule.name, rule.message);
      }
    });
  }
  return findings;
}
