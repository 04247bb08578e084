/**
 * What a person is told of an error: `code: names of its parameters | sentence`. `xe` writes the sentence, then each parameter
 * behind its name. Codes that are not here are shown as they are.
 */
const TABLE = `
  UUID_INVALID: type uuid | The uuid you supplied was invalid.
  HANDLE_INVALID: class handle | There is no such object: it may have been removed meanwhile.
  MAP_DUPLICATE_KEY: type param_name uuid key | The map has this key already.
  DB_UNIQUENESS_CONSTRAINT_VIOLATION: table field value | There is an object with this value already.
  FIELD_TYPE_ERROR: field | A value is missing or of the wrong type.
  INVALID_VALUE: field value | This value is not possible.
  VALUE_NOT_SUPPORTED: field value reason | This value is not supported.
  MESSAGE_METHOD_UNKNOWN: method | The host does not know this message.
  MESSAGE_REMOVED: | This message does not exist any more.
  NOT_IMPLEMENTED: function | The host does not support this.
  INTERNAL_ERROR: message | The host has made a mistake, or what it works with has.
  SESSION_INVALID: handle | The session does not exist, or has ended.
  RBAC_PERMISSION_DENIED: permission message | Your roles do not allow this.
  OPERATION_NOT_ALLOWED: reason | This is not allowed.
  OPERATION_BLOCKED: ref code | The object's owner has blocked this operation.
  OTHER_OPERATION_IN_PROGRESS: class object | Something else is being done with the object.
  TASK_CANCELLED: task | The work was cancelled.
  CLIENT_ERROR: | The transfer failed at the client's end.
  IMPORT_ERROR: msg | The import failed.
  VM_BAD_POWER_STATE: vm expected actual | The VM is not in the power state that this needs.
  VM_IS_TEMPLATE: vm | This cannot be done with a template.
  VM_IS_SNAPSHOT: vm | This cannot be done with a snapshot.
  VM_LACKS_FEATURE: vm | The VM does not have what this needs.
  VM_HVM_REQUIRED: vm | The VM needs hardware virtualization, which the host does not have.
  VM_NO_EMPTY_CD_VBD: vm | The VM has no empty CD drive.
  VM_REQUIRES_SR: vm sr | The VM needs a storage repository that is not there.
  VM_REQUIRES_NETWORK: vm network | The VM needs a network that is not there.
  VM_REVERT_FAILED: vm snapshot | The VM could not be taken back to the snapshot.
  VM_SHUTDOWN_TIMEOUT: vm timeout | The guest did not shut down in time.
  BOOTLOADER_FAILED: vm msg | The boot loader finds nothing to start.
  VM_CANNOT_DELETE_DEFAULT_TEMPLATE: vm | Templates of the host stay.
  ONLY_PROVISION_TEMPLATE: | Only a template can be provisioned.
  ONLY_REVERT_SNAPSHOT: | A VM can only be taken back to a snapshot.
  PROVISION_FAILED_OUT_OF_SPACE: | There is not enough space for the disks of the template.
  PROVISION_FAILED_XML: reason | The template's disks are not described as they should be.
  MEMORY_CONSTRAINT_VIOLATION: constraint | The memory limits are out of order.
  NO_HOSTS_AVAILABLE: | There is no host for this VM.
  HOST_NOT_ENOUGH_FREE_MEMORY: needed available | The host does not have enough free memory.
  HOST_DISABLED: host | The host is disabled.
  HOST_OFFLINE: host | The host cannot be reached.
  HOST_IS_SLAVE: Master IP address | This host is not the master of its pool.
  DEVICE_ALREADY_ATTACHED: device | The device is attached already.
  DEVICE_ALREADY_DETACHED: device | The device is not attached.
  DEVICE_ALREADY_EXISTS: device | There is a device at this position already.
  DEVICE_DETACH_REJECTED: type ref msg | The guest does not let the device go.
  INVALID_DEVICE: device | There is no such position for a device.
  VBD_IS_EMPTY: vbd | The drive is empty.
  VBD_NOT_EMPTY: vbd | There is a disc in the drive.
  VBD_NOT_REMOVABLE_MEDIA: vbd | This is no drive for discs.
  VBD_CDS_MUST_BE_READONLY: | Discs can only be read.
  MAC_INVALID: MAC | This is no MAC address.
  MAC_STILL_IN_USE: VIF MAC | Another interface of the VM has this MAC address.
  NETWORK_CONTAINS_VIF: vifs | Interfaces of VMs are plugged into the network.
  NETWORK_CONTAINS_PIF: pifs | An interface of a host is plugged into the network.
  DEFAULT_SR_NOT_FOUND: sr | The pool has no default storage repository.
  SR_HAS_PBD: sr | A host is connected to the storage repository.
  SR_HAS_NO_PBDS: sr | No host is connected to the storage repository.
  SR_NOT_ATTACHED: sr | The storage repository is not attached.
  SR_NOT_EMPTY: | There are disks in the storage repository.
  SR_UNKNOWN_DRIVER: driver | The host has no such type of storage.
  SR_UUID_EXISTS: uuid | There is a storage repository with this UUID already.
  SR_OPERATION_NOT_SUPPORTED: sr | The storage repository cannot do this.
  SR_BACKEND_FAILURE: status details | The storage does not do this.
  VDI_IN_USE: vdi operation | The disk is in use.
  VDI_MISSING: sr vdi | The disk's image is not there.
  VDI_READONLY: vdi | The disk can only be read.
  VDI_TOO_SMALL: vdi minimum size | The disk would be too small.
  VDI_NOT_MANAGED: vdi | The disk belongs to something else.
  CHANGE_PASSWORD_REJECTED: msg | The new password is not accepted.
  XENAPI_MISSING_PLUGIN: name | The host has no such plug-in.
  SUBJECT_CANNOT_BE_RESOLVED: | There is no user of this name.
  SUBJECT_ALREADY_EXISTS: | The user is a subject already.
  CERTIFICATE_ALREADY_EXISTS: name | There is a certificate of this name already.
  CERTIFICATE_CORRUPT: name | This is no certificate in PEM.
  CERTIFICATE_DOES_NOT_EXIST: name | There is no certificate of this name.
  CERTIFICATE_NAME_INVALID: name | A certificate cannot have this name.
  CRL_ALREADY_EXISTS: name | There is a list of this name already.
  CRL_CORRUPT: name | This is no list of revoked certificates in PEM.
  CRL_DOES_NOT_EXIST: name | There is no list of this name.
  SERVER_CERTIFICATE_KEY_MISMATCH: | The key is not that of the certificate.
  VMSS_HAS_VM: | There are VMs on the schedule.
  ROLE_NOT_FOUND: | There is no such role.
  ROLE_ALREADY_EXISTS: | The subject has this role already.
`;

export interface ErrorText {
  params: string[];
  sentence: string;
}

const words = (text: string): string[] => (text === '' ? [] : text.split(' '));

/** Names of several words stand here for what the table cannot tell apart. */
const SPELT: Record<string, string[]> = {
  HOST_IS_SLAVE: ['Master IP address'],
  VDI_TOO_SMALL: ['vdi', 'minimum size'],
};

export const ERRORS: ReadonlyMap<string, ErrorText> = new Map(
  [...TABLE.matchAll(/^ {2}([A-Z0-9_]+):([^|\n]*)\| (.*)$/gm)].map(([, code, names, sentence]) => {
    return [code, { params: SPELT[code] ?? words(names.trim()), sentence }];
  }),
);

/** `SR_BACKEND_FAILURE_44` and its like are one error. */
export const errorText = (code: string): ErrorText | undefined =>
  ERRORS.get(code) ?? (code.startsWith('SR_BACKEND_FAILURE_') ? ERRORS.get('SR_BACKEND_FAILURE') : undefined);
