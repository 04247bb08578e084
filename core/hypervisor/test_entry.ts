// The hypervisor without an engine: what the tests of this folder compile.
export * from './index';
