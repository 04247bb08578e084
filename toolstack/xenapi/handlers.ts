/** Every message that does more than to look into the database, by folder. */
import { event } from './event/messages.ts';
import type { Handlers } from './messages.ts';
import { message } from './message/messages.ts';
import { rbac } from './rbac/messages.ts';
import { session } from './session/messages.ts';
import { task } from './task/messages.ts';

export const HANDLERS: Handlers = { ...event, ...message, ...rbac, ...session, ...task };
