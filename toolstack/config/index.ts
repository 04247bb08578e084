/** Configurations of domains: xl.cfg's syntax, what it means, and libxl's JSON. */
export { checkConfig, checkName, domainConfig, PoolError } from './domain.ts';
export type { Action, DomainConfig } from './domain.ts';
export { configJson, libxlJson } from './json.ts';
export { ConfigError, parseNumber, parseSettings } from './syntax.ts';
export type { Settings } from './syntax.ts';
