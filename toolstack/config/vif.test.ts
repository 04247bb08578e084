import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from './syntax.ts';
import { checkVifs, isVif, parseVif, vlanSets, type VifConfig } from './vif.ts';

const PLAIN: VifConfig = {
  ...{ mac: undefined, bridge: 'xenbr0', ip: [], rate: undefined, vlan: undefined, vifname: undefined },
  ...{ devid: undefined, mtu: 1500, trusted: true },
};

test('every form of xl-network-configuration(5)', () => {
  const forms: [string, Partial<VifConfig>][] = [
    ['', {}],
    ['mac=00:16:3E:1:2:3', { mac: '00:16:3e:01:02:03' }],
    ['mac=00:16:3e:01:02:03,bridge=lab', { mac: '00:16:3e:01:02:03', bridge: 'lab' }],
    ['bridge=ovsbr0.10, ip=10.0.2.99 fd00::99', { bridge: 'ovsbr0.10', ip: ['10.0.2.99', 'fd00::99'] }],
    ['rate=10Mb/s', { rate: { text: '10Mb/s', bytesPerSecond: 1.25e6, burst: 62_500 } }],
    ['rate=250KB/s', { rate: { text: '250KB/s', bytesPerSecond: 250e3, burst: 12_500 } }],
    ['rate=1MB/s@20ms', { rate: { text: '1MB/s@20ms', bytesPerSecond: 1e6, burst: 20_000 } }],
    ['vlan=10', { vlan: '10' }],
    ['vifname=web0,devid=3,mtu=9000,untrusted', { vifname: 'web0', devid: 3, mtu: 9000, trusted: false }],
    ['trusted=0', { trusted: false }],
    ['trusted,type=vif,backend=0,script=/etc/xen/scripts/vif-bridge', {}],
  ];
  for (const [text, expected] of forms) {
    const vif = parseVif(text, assert.fail);
    assert.deepEqual(vif, { ...PLAIN, ...expected }, text);
    assert.ok(isVif(JSON.parse(JSON.stringify(vif))), text);
  }
  const warnings: string[] = [];
  assert.deepEqual(
    parseVif('model=e1000,gatewaydev=eth0,netdev=eth0,accel=x', (text) => warnings.push(text)),
    PLAIN,
  );
  assert.equal(warnings.length, 4);
});

test('VLANs: one, or an untagged one and tagged ones', () => {
  assert.deepEqual(vlanSets('10'), { untagged: 10, tagged: [] });
  assert.deepEqual(vlanSets('10p/20-22/30'), { untagged: 10, tagged: [20, 21, 22, 30] });
  assert.deepEqual(vlanSets('20-21'), { untagged: 0, tagged: [20, 21] });
  for (const bad of ['', '0', '4095', '5-3', '10p/20p', '1/x', '10-12p']) assert.equal(vlanSets(bad), undefined, bad);
});

test('mistakes are one sentence each', () => {
  const cases: [string, RegExp][] = [
    ['mac=zz', /invalid MAC address 'zz'/],
    ['mac=01:00:5e:00:00:01', /no address of an interface/],
    ['frob=1', /unrecognized argument `frob=1'/],
    ['bridge=a b', /bridge has 1 to 15 letters/],
    ['bridge=../../x', /bridge has/],
    ['bridge=x,bridge=y', /bridge is given twice/],
    ['ip=10.0.0', /'10.0.0' is no IP address/],
    ['rate=fast', /no rate/],
    ['rate=0MB/s', /nothing can pass/],
    ['vlan=9999', /no VLAN/],
    ['devid=-1', /devid is a number/],
    ['mtu=20', /mtu is a number from 68/],
    ['type=ioemu', /emulated interfaces are for HVM guests/],
    ['type=x', /type is vif or ioemu/],
    ['script=vif-route', /network scripts are not supported/],
    ['backend=net1', /not by domain 'net1'/],
  ];
  for (const [text, why] of cases)
    assert.throws(() => parseVif(text), (error: Error) => error instanceof ConfigError && why.test(error.message)); // prettier-ignore
});

test('what comes over a socket is looked at as a whole', () => {
  const vif = parseVif('mac=00:16:3e:01:02:03,rate=1MB/s');
  const bad = [null, {}, 'x', { ...vif, mac: 'zz' }, { ...vif, bridge: 'a,mac=00:16:3e:00:00:01' }, { ...vif, ip: ['x'] }, { ...vif, ip: 'x' }, { ...vif, rate: { ...vif.rate, burst: -1 } }, { ...vif, devid: 1.5 }, { ...vif, mtu: null }, { ...vif, trusted: 1 }]; // prettier-ignore
  for (const one of bad) assert.equal(isVif(one), false, JSON.stringify(one));
  assert.throws(() => checkVifs([vif, vif]), /two interfaces have 00:16/);
  assert.throws(() => checkVifs([parseVif('devid=1'), parseVif('devid=1')]), /devid 1/);
  assert.throws(() => checkVifs(Array.from({ length: 33 }, () => parseVif(''))), /32 interfaces at most/);
});
