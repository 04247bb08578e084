// The package has no types of its own; its objects are records of XenAPI.
declare module 'xen-api' {
  export function createClient(options: object): any;
}
