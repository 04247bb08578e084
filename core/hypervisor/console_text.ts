// The console's sentences, by number. Read by the core and, through type stripping, by the platform, which writes the texts into the
// host's text area: plain constants only.

/** Where the texts lie in the text area: u16 offsets from here by number, then the texts with a zero behind each. */
export const CON_TEXT_AT = 0x900;

export const CON_BANNER = 0;
export const CON_BUILT = 1;
export const CON_MEMORY = 2;
export const CON_PCPUS = 3;
export const CON_CRASH = 4;
export const CON_CRASH_RIP = 5;
export const CON_KEY = 6;
export const CON_KEY_NONE = 7;
export const CON_HELP_H = 8;
export const CON_HELP_E = 9;
export const CON_HELP_M = 10;
export const CON_HELP_Q = 11;
export const CON_HELP_R = 12;
export const CON_DOMAIN = 13;
export const CON_DOMAIN_STATE = 14;
export const CON_DOMAIN_PAGES = 15;
export const CON_VCPU = 16;
export const CON_VCPU_STATE = 17;
export const CON_RUN = 18;
export const CON_RUN_VCPU = 19;
export const CON_EVENTS = 20;
export const CON_PORT = 21;
export const CON_FREE = 22;
export const CON_SHUTDOWN = 23;
export const CON_TEXTS = 24;
