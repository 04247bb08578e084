// Types of log records. Read by the core and, through type stripping, by the platform: plain constants only.
export const LOG_CONSOLE = 1;
export const LOG_CRASH = 2;
export const LOG_SHUTDOWN = 3;
export const LOG_CREATED = 4;
export const LOG_DESTROYED = 5;
export const LOG_HYPERCALL = 6;
export const LOG_EVENT = 7;
