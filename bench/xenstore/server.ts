// A store on a socket and nothing else: `server.ts PATH`.
import '../../bin/parent.cjs';
import { listen } from '../../services/xenstore/backend/socket.ts';
import { Store } from '../../services/xenstore/protocol/store.ts';

await listen(new Store(), process.argv[2]!);
