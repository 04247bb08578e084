import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkDisks, isDisk, parseDisk, vdevNumber } from './disk.ts';
import { ConfigError } from './syntax.ts';

const absolute = (path: string): string => (path.startsWith('/') ? path : `/here/${path}`);
const parse = (text: string) => parseDisk(text, absolute);
const plain = { format: 'raw', vdev: 'xvda', number: 51712, readonly: false, cdrom: false, discard: true };

test('the forms of xl-disk-configuration(5)', () => {
  const rows: [string, object][] = [
    ['/a.img,raw,xvda,rw', { target: '/a.img' }],
    ['/a.img,,xvda', { target: '/a.img' }],
    ['a.img , raw , xvda , w', { target: '/here/a.img' }],
    ['phy:/dev/vg/a,xvda,w', { target: '/dev/vg/a' }],
    ['file:/a.img,xvda,r', { target: '/a.img', readonly: true }],
    ['tap:aio:/a.img,xvda,w', { target: '/a.img' }],
    ['tap2:qcow2:/a.img,xvda,w', { target: '/a.img', format: 'qcow2' }],
    ['/a.img,vhd,xvda,ro', { target: '/a.img', format: 'vhd', readonly: true }],
    ['format=raw, vdev=xvda, access=rw, target=/a,b = c.img', { target: '/a,b = c.img' }],
    ['vdev=xvda,format=qcow2,no-discard,direct-io-safe,target=/a', { target: '/a', format: 'qcow2', discard: false }],
    ['/a.img,raw,xvda,rw,backendtype=qdisk,backend=0,discard', { target: '/a.img' }],
    ['/a.iso,raw,xvda,cdrom', { target: '/a.iso', readonly: true, cdrom: true }],
    ['/a.iso,,hdc:cdrom,r', { target: '/a.iso', vdev: 'hdc', number: 5632, readonly: true, cdrom: true }],
    [',,hdc,cdrom', { target: null, vdev: 'hdc', number: 5632, readonly: true, cdrom: true }],
    ['vdev=hdc,devtype=cdrom,access=ro', { target: null, vdev: 'hdc', number: 5632, readonly: true, cdrom: true }],
    // Xenolith's own.
    ['/a.img,raw,xvda,w,sector-size=4096,werror=enospc', { target: '/a.img', sectorSize: 4096, waitsForRoom: true }],
    ['/a.img,raw,xvda,w,sector-size=512,werror=report', { target: '/a.img' }],
    ['vdev=xvda,iops-total=2k,bps-total=10M,target=/a.img', { target: '/a.img', iops: 2048, bps: 10 << 20 }],
  ];
  for (const [text, wanted] of rows) {
    const disk = parse(text);
    assert.deepEqual(disk, { ...plain, ...wanted }, text);
    assert.ok(isDisk(JSON.parse(JSON.stringify(disk))));
  }
  assert.ok(!isDisk({ ...parse('/a.img,raw,xvda,w'), iops: -1 }));
});

test('what cannot be had is told', () => {
  const rows: [string, RegExp][] = [
    ['frob', /no vdev specified in `frob'/],
    ['/a,raw,xvda,x', /access is one of/],
    ['/a,qed,xvda,w', /format 'qed' is not supported/],
    ['/a,raw,zap,w', /'zap' is no virtual device/],
    ['/a,raw,xvda,w,frob', /nothing is known of 'frob'/],
    ['/a,raw,xvda,w,script=x', /block scripts are not supported/],
    ['nbd:host:1,raw,xvda,w', /block scripts/],
    ['/a,raw,xvda,w,backend=stor', /not by domain 'stor'/],
    ['/a,raw,xvda,w,backendtype=standalone', /backendtype=standalone/],
    ['/a,raw,xvda,w,specification=virtio', /virtio disks/],
    [',raw,xvda,w', /no target/],
    ['/a,raw,xvda,w,format=raw', /format is given twice/],
    ['/a,raw,xvda,w,sector-size=1024', /sector-size is 512 or 4096/],
    ['/a,raw,xvda,w,werror=stop', /werror is report or enospc/],
    ['/a,raw,xvda,w,iops-total=0', /iops-total=0 is no number above 0/],
    ['/a,raw,xvda,w,bps-total=10X', /bps-total=10X is no number/],
    ['/a,raw,xvda:tape,w', /devtype is cdrom or disk/],
  ];
  for (const [text, wanted] of rows) {
    assert.throws(() => parse(text), (e) => e instanceof ConfigError && wanted.test(e.message), text); // prettier-ignore
  }
  assert.throws(() => checkDisks([parse('/a,raw,xvda,w'), parse('/b,raw,d0,w')]), /two disks are d0/);
});

test('virtual devices by name and number', () => {
  const rows: Record<string, number | undefined> = {
    ...{ xvda: 51712, xvda1: 51713, xvdb: 51728, xvdp: 51952, xvdq: 0x10001000, xvdaa: 0x10001a00, xvda16: 0x10000010 },
    ...{ hda: 768, hdb1: 833, hdc: 5632, hdd: 5696, hde: undefined, sda: 2048, sdp15: 2303, sdq: undefined },
    ...{ d0: 51712, d1p2: 51730, d16: 0x10001000, 51728: 51728, '0xca00': 51712, 0: undefined, xvd: undefined },
  };
  for (const [name, number] of Object.entries(rows)) assert.equal(vdevNumber(name), number, name);
});
