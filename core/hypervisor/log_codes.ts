// Types of log records. Read by the core and, through type stripping, by the platform: plain constants only.
export const LOG_CONSOLE = 1;
export const LOG_CRASH = 2;
export const LOG_SHUTDOWN = 3;
export const LOG_CREATED = 4;
export const LOG_DESTROYED = 5;
export const LOG_HYPERCALL = 6;
export const LOG_EVENT = 7;
export const LOG_RUN = 8;
export const LOG_STATE = 9;
export const LOG_INTERRUPT = 10;
export const LOG_SAMPLE = 11;

/** What a sample found: guest code, the hypervisor working for the vCPU, nothing to run. */
export const SAMPLE_GUEST = 1;
export const SAMPLE_HYPERVISOR = 2;
export const SAMPLE_IDLE = 3;
