/**
 * HYPERVISOR_physdev_op, public/physdev.h. No physical devices are passed through: a PV guest has its I/O privilege level and its map of ports,
 * all else is refused as Xen does without devices.
 */
import { own, subOps, xsm, type Check, type Status } from './op.ts';

const irq = own("the caller's own interrupts");
const row = (nr: number, op: string, check: Check = xsm(`physdev__${op}`, 'PRIV'), status: Status = 'EPERM') =>
  [nr, op, null, check, status] as const;

export const PHYSDEV = subOps('PHYSDEVOP_', { mask: 0xffffffff, unknown: 'ENOSYS', in: 'register' }, [
  row(5, 'irq_status_query', irq, 'EINVAL'),
  row(6, 'set_iopl', irq, 'supported'),
  row(7, 'set_iobitmap', irq, 'supported'),
  row(8, 'apic_read'),
  row(9, 'apic_write'),
  row(10, 'alloc_irq_vector'),
  row(12, 'eoi', irq, 'EINVAL'),
  row(13, 'map_pirq', xsm('map_domain_pirq', 'DM_PRIV')),
  row(14, 'unmap_pirq', xsm('unmap_domain_pirq', 'DM_PRIV')),
  row(15, 'manage_pci_add'),
  row(16, 'manage_pci_remove'),
  row(17, 'pirq_eoi_gmfn_v1', irq, 'ENOSYS'),
  row(19, 'restore_msi'),
  row(20, 'manage_pci_add_ext'),
  row(21, 'setup_gsi'),
  row(23, 'get_free_pirq', irq, 'ENOSYS'),
  row(24, 'pci_mmcfg_reserved'),
  row(25, 'pci_device_add'),
  row(26, 'pci_device_remove'),
  row(27, 'restore_msi_ext'),
  row(28, 'pirq_eoi_gmfn_v2', irq, 'ENOSYS'),
  row(29, 'dbgp_op'),
  row(30, 'prepare_msix'),
  row(31, 'release_msix'),
]);
