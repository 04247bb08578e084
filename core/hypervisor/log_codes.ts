// Types of log records. Read by the core and, through type stripping, by the platform: plain constants only.
export const LOG_CONSOLE: u16 = 1;
export const LOG_CRASH: u16 = 2;
export const LOG_SHUTDOWN: u16 = 3;
export const LOG_CREATED: u16 = 4;
export const LOG_DESTROYED: u16 = 5;
export const LOG_HYPERCALL: u16 = 6;
export const LOG_EVENT: u16 = 7;
