'use strict';
// Ties a process to the life of the one that started it: when the parent goes, even by SIGKILL, this process hangs up
// on itself. SIGHUP lets a handler restore the terminal; whoever has not left shortly after is killed.
// Loaded by `--require` or `import`; plain JavaScript because set-up runs it on the system's Node.
const { isMainThread } = require('node:worker_threads');

const POLL_MS = 100;
const GRACE_MS = 200;

/** Ends this process soon after `current()` no longer gives `expected`. */
function follow(expected, current) {
  const timer = setInterval(() => {
    if (current() === expected) return;
    clearInterval(timer);
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), GRACE_MS);
    process.kill(process.pid, 'SIGHUP');
  }, POLL_MS);
  timer.unref();
}

// A host that was started to stay (`xenolith up --detach`) follows nobody.
const stays = process.env.XENOLITH_PARENT === 'none';

if (isMainThread && !stays && !globalThis.xenolithFollowsParent) {
  globalThis.xenolithFollowsParent = true;
  // The starter's id, so that one who died before this line ran is noticed too: then nothing has begun that would have to be ended.
  const starter = Number(process.env.XENOLITH_PARENT ?? process.ppid);
  if (process.ppid !== starter) process.kill(process.pid, 'SIGKILL');
  follow(starter, () => process.ppid);
  delete process.env.XENOLITH_PARENT;
}

module.exports = { follow };
