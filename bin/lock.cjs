'use strict';
// A lock the kernel drops with its holder, and that leaves nothing on the disk: a listening socket in Linux's abstract
// namespace, an O_EXLOCK file elsewhere. A child given `fd` holds the lock too, so work that outlives its starter by a
// moment still excludes others.
const crypto = require('node:crypto');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');

const O_EXLOCK = 0x20; // fcntl.h of macOS and the BSDs
const O_NONBLOCK = 0x4;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function listen(name) {
  return new Promise((resolve, reject) => {
    const server = net.createServer((socket) => socket.on('error', () => {}).unref());
    server.once('error', (error) => (error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error)));
    server.listen(name, () => resolve(server.unref()));
  });
}

/** Resolves when whoever holds `name` closes it, or at once when nobody does. */
function released(name) {
  return new Promise((resolve) => {
    net
      .connect(name)
      .on('error', () => {})
      .on('close', resolve);
  });
}

async function acquireSocket(name, onWait) {
  for (;;) {
    const server = await listen(name);
    if (server) return { fd: server._handle.fd, release: () => server.close() };
    onWait();
    await released(name);
    await pause(20);
  }
}

async function acquireFile(name, onWait) {
  for (;;) {
    try {
      const fd = fs.openSync(name, fs.constants.O_RDWR | fs.constants.O_CREAT | O_EXLOCK | O_NONBLOCK);
      return { fd, release: () => fs.closeSync(fd) };
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
    }
    onWait();
    await pause(200);
  }
}

/** The lock's name: in the abstract namespace, or a file. */
function nameOf(folder) {
  const id = `xenolith-${crypto.createHash('sha256').update(folder).digest('hex').slice(0, 24)}`;
  return process.platform === 'linux' ? `\0${id}` : path.join(os.tmpdir(), `${id}.lock`);
}

class Held extends Error {}

/** Takes the lock that belongs to `folder` if nobody has it; else undefined. */
async function tryAcquire(folder) {
  try {
    return await acquire(folder, () => {
      throw new Held();
    });
  } catch (error) {
    if (error instanceof Held) return undefined;
    throw error;
  }
}

/** Takes the lock that belongs to `folder`; `onWait` is called each time somebody else turns out to hold it. */
function acquire(folder, onWait = () => {}) {
  const take = process.platform === 'linux' ? acquireSocket : acquireFile;
  return take(nameOf(folder), onWait);
}

module.exports = { acquire, tryAcquire };
