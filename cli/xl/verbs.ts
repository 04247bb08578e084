// All verbs of `xl`, in the order of its help.
import { CONSOLE } from './console.ts';
import { CONTROL } from './control.ts';
import { CREATE } from './create.ts';
import { LIST } from './list.ts';
import type { Verb } from './verb.ts';

export const VERBS: readonly Verb[] = [...CREATE, ...CONSOLE, ...CONTROL, ...LIST];
