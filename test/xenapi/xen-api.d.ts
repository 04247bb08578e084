// The package has no types of its own; its objects are records of XenAPI.
declare module 'xen-api' {
  export function createClient(options: object): any;
}
declare module '@xen-orchestra/xva/importVm.mjs' {
  export function importVm(vm: object, xapi: object, sr: object, network?: object): Promise<string>;
}
