/** Every message that does more than to look into the database, by folder. */
import { authorities } from './host/authorities.ts';
import { certificates } from './host/certificates.ts';
import { maintenance } from './host/maintenance.ts';
import { plugins } from './host/plugins.ts';
import { report } from './host/report.ts';
import { settings } from './host/settings.ts';
import { syslog } from './host/syslog.ts';
import { more } from './VM/more.ts';
import { recovery } from './VM/recovery.ts';
import { storageMore } from './SR/more.ts';
import { callers } from './Caller/messages.ts';
import { VMSS } from './VMSS/messages.ts';
import { PIF } from './PIF/messages.ts';
import { blob } from './blob/messages.ts';
import { PBD } from './PBD/messages.ts';
import { SR } from './SR/messages.ts';
import { VBD } from './VBD/messages.ts';
import { VDI } from './VDI/messages.ts';
import { VIF } from './VIF/messages.ts';
import { VM } from './VM/messages.ts';
import { VM_appliance } from './VM_appliance/messages.ts';
import { event } from './event/messages.ts';
import { host } from './host/messages.ts';
import type { Handlers } from './messages.ts';
import { message } from './message/messages.ts';
import { network } from './network/messages.ts';
import { pool } from './pool/messages.ts';
import { rbac } from './rbac/messages.ts';
import { refusals } from './refusals.ts';
import { rrd } from './rrd/messages.ts';
import { session } from './session/messages.ts';
import { task } from './task/messages.ts';

export const HANDLERS: Handlers = {
  ...{ ...event, ...message, ...rbac, ...session, ...task },
  ...refusals,
  ...{ ...authorities, ...certificates, ...maintenance, ...plugins, ...report, ...syslog, ...callers, ...VMSS },
  ...{ ...blob, ...rrd, ...PIF, ...settings, ...more, ...recovery, ...storageMore },
  ...{ ...host, ...network, ...pool, ...PBD, ...SR, ...VBD, ...VDI, ...VIF, ...VM, ...VM_appliance },
};
