// All verbs of `xl`, in the order of its help.
import { completionVerb } from './completion.ts';
import { CONSOLE } from './console.ts';
import { CONTROL } from './control.ts';
import { CREATE } from './create.ts';
import { DEBUG } from './debug.ts';
import { DEVICES } from './devices.ts';
import { HOST_INFO } from './host_info.ts';
import { LIST } from './list.ts';
import { RESOURCES } from './resources.ts';
import { SCHEDULING } from './scheduling.ts';
import { TOP } from './top.ts';
import type { Verb } from './verb.ts';

export const VERBS: readonly Verb[] = [
  ...CREATE,
  ...LIST,
  ...CONSOLE,
  ...CONTROL,
  ...RESOURCES,
  ...HOST_INFO,
  ...TOP,
  ...DEBUG,
  ...SCHEDULING,
  ...DEVICES,
  completionVerb(() => VERBS),
];
