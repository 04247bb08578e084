import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkConfig, configJson, domainConfig, libxlJson, parseSettings, PoolError } from './index.ts';

const read = (text: string) => {
  const settings = parseSettings(text, 'f.cfg');
  return { config: domainConfig(settings, (path) => `/abs/${path}`), warnings: settings.warnings };
};
const LEAST = 'name="g"\nkernel="k"\n';
const refused = (text: string): string => {
  try {
    read(LEAST + text);
  } catch (error) {
    return (error as Error).message;
  }
  return assert.fail('it is accepted');
};

test("libxl's defaults", () => {
  const { config, warnings } = read(LEAST);
  assert.deepEqual(config, {
    type: undefined,
    name: 'g',
    uuid: undefined,
    bootloader: undefined,
    kernel: '/abs/k',
    ramdisk: undefined,
    cmdline: '',
    disks: [],
    vifs: [],
    channels: [],
    vfbs: [],
    p9s: [],
    memory: 32 * 1024,
    maxMemory: 32 * 1024,
    vcpus: 1,
    maxVcpus: 1,
    onPoweroff: 'destroy',
    onReboot: 'restart',
    onWatchdog: 'destroy',
    onCrash: 'destroy',
    onSoftReset: 'soft-reset',
  });
  assert.deepEqual(warnings, []);
});

test('what a real file says', () => {
  const { config, warnings } = read(`${LEAST}type = "pvh"\nramdisk = "i"\nroot = "/dev/xvda1"\nextra = "quiet"
memory = "128"\nmaxmem = 256\nvcpus = 1\nmaxvcpus = 4\nuuid = "1111111122223333-4444-555555555555"
on_crash = "coredump-restart"\nseclabel = "system_u:system_r:domU_t"\ndevice_model_override = "/x"\nvif = []\ncpu_weight = 512
frobnicate = 7`);
  assert.equal(config.cmdline, 'root=/dev/xvda1 quiet');
  assert.deepEqual([config.memory, config.maxMemory, config.vcpus, config.maxVcpus], [131072, 262144, 1, 4]);
  assert.equal(config.uuid, '11111111-2222-3333-4444-555555555555');
  assert.equal(config.onCrash, 'coredump-restart');
  assert.equal(warnings.length, 3);
  assert.ok(warnings.every((w) => w.startsWith('WARNING: ignoring ')));
  assert.equal(read(`${LEAST}cmdline="a"\nextra="b"`).config.cmdline, 'a');
  assert.equal(read(`${LEAST}vcpus=0`).config.vcpus, 1);
  assert.equal(read(`${LEAST}ramdisk=""`).config.ramdisk, undefined);
  for (const line of ['type="pv"', 'builder="generic"', 'builder="linux"', 'type="pv"\nbuilder="hvm"'])
    assert.equal(read(`${LEAST}${line}`).config.type, 'pv');
});

test('mistakes are one sentence each', () => {
  const cases: [string, RegExp][] = [
    ['name = ""', /'' is no name for a domain/],
    ['name = "a/b"', /no name/],
    ['type = "hvm"', /hvm is not supported yet/],
    ['builder = "hvm"', /hvm is not supported yet/],
    ['type = "frob"', /Invalid domain type frob/],
    ['kernel = ""', /No kernel specified/],
    ['on_poweroff = "frob"', /Unknown on_poweroff action "frob".*rename-restart/],
    ['uuid = "zz"', /Failed to parse UUID: zz/],
    ['maxvcpus = 1\nvcpus = 4', /maxvcpus < vcpus/],
    ['vcpus = 100000', /at most 128 vCPUs/],
    ['memory = 64\nmaxmem = 32', /maxmem \(32 MiB\) is less than memory/],
    ['disk = ["frob"]', /no vdev specified in `frob'/],
    ['disk = ["/a,raw,xvda,w", "/b,raw,xvda,w"]', /two disks are xvda/],
    ['vif = ["mac=zz"]', /^vif: 'mac=zz': /],
    ['vif = ["mac=00:16:3e:00:00:01", "mac=00:16:3e:00:00:01"]', /two interfaces have/],
    ['bootloader = "pygrub"', /bootloader="pygrub" reads from the first disk/],
  ];
  for (const [text, sentence] of cases) assert.match(refused(text), sentence);
  assert.throws(() => read(`${LEAST}pool="p"`), PoolError);
  assert.throws(() => read('kernel="k"'), /Domain name must be specified/);
});

test('what comes over the socket is checked as a whole', () => {
  const { config } = read(LEAST);
  assert.deepEqual(checkConfig(JSON.parse(JSON.stringify(config))), config);
  const bad: unknown[] = [
    null,
    7,
    [],
    {},
    { ...config, memory: -1 },
    { ...config, memory: '1' },
    { ...config, kernel: 1 },
    { ...config, type: 'hvm' },
  ];
  bad.push({ ...config, onCrash: 'x' }, { ...config, vcpus: 2 }, { ...config, name: 'a\n' }, { ...config, uuid: '1' });
  for (const each of bad) assert.throws(() => checkConfig(each));
  assert.equal('more' in checkConfig({ ...config, more: 1 }), false);
});

test('a PV domain in JSON', () => {
  const json = JSON.stringify(configJson(read(`${LEAST}type="pv"`).config));
  assert.match(json, /"c_info":\{"type":"pv".*"type.pv":\{\}/);
});

test("JSON in libxl's layout", () => {
  const { config } = read(`${LEAST}on_poweroff="preserve"`);
  const uuid = '4f99ae3f-03b9-4ca8-9e54-200cb26ed5aa';
  assert.equal(
    libxlJson(configJson({ ...config, uuid })),
    `{
    "c_info": {
        "type": "pv",
        "name": "g",
        "uuid": "${uuid}",
        "run_hotplug_scripts": "True"
    },
    "b_info": {
        "max_vcpus": 1,
        "avail_vcpus": [
            0
        ],
        "max_memkb": 32768,
        "target_memkb": 32768,
        "sched_params": {

        },
        "claim_mode": "True",
        "kernel": "/abs/k",
        "type.pv": {

        },
        "arch_arm": {

        },
        "arch_x86": {

        }
    },
    "on_poweroff": "preserve",
    "on_reboot": "restart",
    "on_soft_reset": "soft_reset"
}`,
  );
});
