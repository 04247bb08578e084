// What happens to a domain, in words.
import type { Happening } from '../../toolstack/host/domains.ts';

export function describe(event: unknown): string {
  const { domid, what, reason = 0, action, successor, again } = event as Happening;
  switch (what) {
    case 'shutdown':
      return `Domain ${domid} has shut down, reason code ${reason} 0x${reason.toString(16)}; action: ${action}`;
    case 'destroyed':
      return `Domain ${domid} has been destroyed${again ? ' and is made again' : ''}.`;
    case 'restarted':
      return `Domain ${domid} goes on as domain ${successor}.`;
    case 'preserved':
      return `Domain ${domid} is left as it is.`;
  }
}
