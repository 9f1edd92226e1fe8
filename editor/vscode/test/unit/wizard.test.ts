import assert from 'node:assert/strict';
import { test } from 'node:test';
import { askCreate, type Facts } from '../../src/create/wizard';
import type { DraftParams } from '../../src/protocol';
import { back } from '../../src/ui/ui';
import { ScriptedUi, type Asked } from './fakeApp';
import { checkDraft } from './draftRules';
import { backend, machine } from './machines';

const profile = (name: string, more: object = {}) => ({ name, description: `the ${name}`, requires: [], agent: false, images: ['nixos', 'trial'], ...more });

const facts = (more: Partial<Facts> = {}): Facts => ({
  machine: () => undefined,
  profiles: [profile('core'), profile('dev'), profile('claude', { agent: true }), profile('nvidia', { images: ['nixos'], requires: ['docker'] })],
  backends: [backend('qemu')],
  bridges: async () => [],
  pci: async () => [],
  check: async (draft) => checkDraft(draft, { taken: ['taken'] }),
  project: 'Shop',
  last: { profiles: ['claude', 'dev'] },
  ...more,
});

const labels = (asked: Asked | undefined): string[] => (asked && 'choices' in asked ? asked.choices.map(({ label }) => label) : []);
const picked = (asked: Asked | undefined): string[] =>
  asked && 'choices' in asked ? asked.choices.filter((choice) => choice.picked).map(({ label }) => label) : [];

test('name, profiles, Enter: that is all it takes', async () => {
  const ui = new ScriptedUi(['demo', ['claude', 'dev'], 'Create demo']);
  assert.deepEqual(await askCreate(ui, facts()), { name: 'demo', answers: { profiles: ['claude', 'dev'] } });
  assert.deepEqual(ui.asked.map((asked) => 'question' in asked && asked.question.step), [[1, 3], [2, 3], [3, 3]]);
});

test('the name offered is that of the project, and the profiles are those of last time', async () => {
  const ui = new ScriptedUi(['demo', undefined]);
  await askCreate(ui, facts({ last: { profiles: ['dev'] } }));
  assert.equal(ui.asked[0]?.kind === 'text' && ui.asked[0].question.value, 'shop');
  assert.deepEqual(picked(ui.asked[1]), ['dev']);
});

test('agents come first, the core is in everything, and an image has the profiles that it has', async () => {
  const ui = new ScriptedUi(['demo', undefined]);
  await askCreate(ui, facts({ last: { image: 'trial' } }));
  assert.deepEqual(labels(ui.asked[1]), ['claude', 'dev']);
});

test('everything can be changed before it is created, and what is not said is left to the daemon', async () => {
  const ui = new ScriptedUi(['demo', ['dev'], 'Memory', '4G', 'CPUs', '4', 'Disk', '40G', 'Network', 'bridge:br0', 'Image', 'trial', 'Mode', 'mutable', 'Create demo']);
  assert.deepEqual(await askCreate(ui, facts()), {
    name: 'demo',
    answers: { profiles: ['dev'], memoryMiB: 4096, vcpus: 4, diskBytes: 40 * 2 ** 30, network: 'bridge:br0', image: 'trial', mode: 'mutable' },
  });
});

test('what is not said shows what config.toml makes of it', async () => {
  const defaults = { profiles: ['dev'], mode: 'mutable', memoryMiB: 4096, vcpus: 4, diskBytes: 30 * 2 ** 30, network: 'nat' };
  const ui = new ScriptedUi(['demo', [], 'CPUs', '2', 'Create demo']);
  await askCreate(ui, facts({ check: async (draft) => checkDraft(draft, { defaults, image: 'trial' }) }));
  const [, , hub, cpus, last] = ui.asked;
  assert.ok(hub?.kind === 'pick' && cpus?.kind === 'text' && last?.kind === 'pick');
  assert.equal(hub.choices[0]?.description, 'dev (default)', 'no profiles leave them to the daemon');
  const described = (asked: typeof hub) => asked.choices.slice(1).map(({ description }) => description);
  assert.deepEqual(described(hub), ['4 GiB (default)', '4 (default)', '30 GiB (default)', 'nat (default)', 'trial (default)', 'mutable (default)', 'created now']);
  assert.equal(cpus.question.placeholder, '4');
  assert.equal(described(last)[1], '2');
});

test('an emptied answer goes back to the default of the daemon', async () => {
  const last = { profiles: [], memoryMiB: 4096, image: 'trial' };
  const ui = new ScriptedUi(['demo', [], 'Memory', '', 'Image', 'default', 'Create demo']);
  assert.deepEqual(await askCreate(ui, facts({ last })), { name: 'demo', answers: { profiles: [] } });
});

test('each step goes back to the one before, and keeps what was answered', async () => {
  const ui = new ScriptedUi(['demo', ['dev'], back, back, 'other', ['dev'], 'Memory', back, 'Create other']);
  assert.deepEqual(await askCreate(ui, facts()), { name: 'other', answers: { profiles: ['dev'] } });
  assert.equal(ui.asked[4]?.kind === 'text' && ui.asked[4].question.value, 'demo');
  assert.deepEqual(picked(ui.asked[3]), ['dev']);
});

test('leaving any question makes nothing', async () => {
  for (const script of [[undefined], ['demo', undefined], ['demo', [], undefined], ['demo', [], 'Memory', undefined]]) {
    assert.equal(await askCreate(new ScriptedUi(script), facts()), undefined);
  }
});

test('bad answers are refused with what would be right', async () => {
  const ui = new ScriptedUi(['demo', [], 'Memory', '4G', 'CPUs', '2', 'Network', 'nat', undefined]);
  await askCreate(ui, facts());
  const complaint = async (n: number, text: string): Promise<string> => {
    const asked = ui.asked[n];
    return (asked?.kind === 'text' && (await asked.question.complaint?.(text))) || '';
  };
  assert.match(await complaint(0, 'Demo'), /a-z/);
  assert.match(await complaint(0, 'taken'), /already/);
  assert.match(await complaint(3, 'much'), /not enough memory/);
  assert.match(await complaint(3, '4'), /not enough memory/, 'the daemon alone reads sizes');
  assert.match(await complaint(5, '0'), /number of virtual CPUs/i);
  assert.match(await complaint(7, 'wifi'), /bridge:/);
});

test('a network is asked for only where there is a choice, a backend only where there are several', async () => {
  const plain = backend('plain');
  plain.capabilities.bridge = false;
  const few = new ScriptedUi(['demo', [], undefined]);
  await askCreate(few, facts({ backends: [plain] }));
  assert.deepEqual(labels(few.asked[2]), ['Create demo', 'Memory', 'CPUs', 'Disk', 'Image', 'Mode', 'VM']);

  const lab = backend('lab', { default: false, type: 'libvirt' });
  const many = new ScriptedUi(['demo', [], 'Backend', 'lab', 'Create demo']);
  assert.deepEqual(await askCreate(many, facts({ backends: [plain, lab] })), { name: 'demo', answers: { profiles: [], backend: 'lab' } });
});

test('the bridges of the host of the backend are offered, and another one can be typed', async () => {
  const lab = backend('lab', { default: false, type: 'libvirt' });
  const asked: (string | undefined)[] = [];
  const bridges = async (of: string | undefined) => {
    asked.push(of);
    return [{ name: 'br0', up: true, addresses: ['192.0.2.1/24'], ports: ['eth0', 'tap1'] }, { name: 'idle', up: false }];
  };
  const ui = new ScriptedUi(['demo', [], 'Backend', 'lab', 'Network', 'bridge:br0', 'Create demo']);
  const result = await askCreate(ui, facts({ backends: [backend('qemu'), lab], bridges }));
  assert.deepEqual(result?.answers, { profiles: [], backend: 'lab', network: 'bridge:br0' });
  assert.deepEqual(asked, ['lab']);
  const offered = ui.asked.find((question) => labels(question).includes('bridge:br0'));
  assert.deepEqual(labels(offered), ['default', 'nat', 'bridge:br0', 'bridge:idle', 'Another bridge']);
  assert.deepEqual(offered && 'choices' in offered && offered.choices.slice(2, 4).map(({ description }) => description), ['up, 192.0.2.1/24, with eth0 tap1', 'down']);

  const typed = new ScriptedUi(['demo', [], 'Network', 'Another bridge', 'bridge:br7', 'Create demo']);
  assert.equal((await askCreate(typed, facts({ bridges })))?.answers.network, 'bridge:br7');
  const unset = new ScriptedUi(['demo', [], 'Network', 'default', 'Create demo']);
  assert.equal((await askCreate(unset, facts({ bridges, last: { network: 'nat' } })))?.answers.network, undefined);
});

test('PCI devices of the host are offered where its backend passes them through', async () => {
  const gpu = { address: '0000:01:00.0', class: '3D controller', id: '10de:1eb8', name: 'Tesla T4' };
  const usb = { address: '0000:00:14.0', class: 'USB controller', id: '8086:a36d', problem: 'bound to xhci_hcd' };
  const host = backend('qemu');
  host.capabilities = { ...host.capabilities, pciDevices: true };
  const ui = new ScriptedUi(['demo', [], 'PCI devices', ['0000:01:00.0'], 'Create demo']);
  const result = await askCreate(ui, facts({ backends: [host], pci: async () => [usb, gpu] }));
  assert.deepEqual(result?.answers, { profiles: [], pciDevices: ['0000:01:00.0'] });
  const offered = ui.asked.find((question) => labels(question).includes('0000:01:00.0'));
  assert.deepEqual(offered && 'choices' in offered && offered.choices.map(({ description }) => description), ['USB controller: 8086:a36d, not ready', '3D controller: Tesla T4']);

  const none = new ScriptedUi(['demo', [], 'Create demo']);
  await askCreate(none, facts({ backends: [backend('qemu')] }));
  assert.ok(!labels(none.asked[2]).includes('PCI devices'));
});

test('a size is offered so exactly that it can be left alone', async () => {
  const declared = machine('old', { state: 'absent', diskBytes: 20_000_000_000 });
  const ui = new ScriptedUi([['dev'], 'Disk', (asked: Asked) => asked.kind === 'text' && asked.question.value, 'Create old']);
  const result = await askCreate(ui, facts({ declared }));
  assert.equal(result?.answers.diskBytes, 20_000_000_000);
});

test('a machine that is declared already brings its own answers', async () => {
  const declared = machine('old', { state: 'absent', profiles: ['dev'], memoryMiB: 1024 });
  const ui = new ScriptedUi([['dev'], 'Create old']);
  const result = await askCreate(ui, facts({ declared, machine: (name) => (name === 'old' ? declared : undefined) }));
  assert.equal(result?.name, 'old');
  assert.equal(result.answers.memoryMiB, 1024);
  assert.deepEqual(picked(ui.asked[0]), ['dev']);

  const typed = new ScriptedUi(['old', ['dev'], 'Create old']);
  assert.equal((await askCreate(typed, facts({ machine: (name) => (name === 'old' ? declared : undefined) })))?.answers.memoryMiB, 1024);
});

test('the profiles offered are those of the image that the default comes to', async () => {
  for (const [image, labelled] of [['trial', ['claude', 'dev']], ['nixos', ['claude', 'dev', 'nvidia']]] as const) {
    const ui = new ScriptedUi(['demo', undefined]);
    await askCreate(ui, facts({ check: async (draft) => checkDraft(draft, { image }) }));
    assert.deepEqual(labels(ui.asked[1]).sort(), labelled, image);
  }
  const ui = new ScriptedUi(['demo', undefined]);
  await askCreate(ui, facts({ last: { image: '/srv/disk.qcow2' } }));
  assert.ok(labels(ui.asked[1]).includes('nvidia'), 'a file may have anything');
});

const wrongOf = (asked: Asked | undefined): string | undefined => (asked && 'question' in asked ? asked.question.wrong : undefined);

test('profiles that do not go together are asked for again, with the reason', async () => {
  const ui = new ScriptedUi(['demo', ['dev', 'claude'], ['dev'], 'Create demo']);
  const check = async (draft: DraftParams) =>
    draft.profiles?.length === 2
      ? { ok: false, fields: { profiles: { ok: false, problem: { code: 'profile.conflict', message: 'claude conflicts with dev', retryable: false } } } }
      : checkDraft(draft);
  assert.deepEqual(await askCreate(ui, facts({ check })), { name: 'demo', answers: { profiles: ['dev'] } });
  assert.equal(wrongOf(ui.asked[2]), 'claude conflicts with dev');
  assert.deepEqual(picked(ui.asked[2]).sort(), ['claude', 'dev'], 'what was picked is kept');
});

test('a remembered answer that is wrong now is shown, asked again, and all else is kept', async () => {
  const ui = new ScriptedUi(['demo', ['dev'], 'Create demo', '4G', 'Create demo']);
  const result = await askCreate(ui, facts({ last: { profiles: ['dev'], memoryMiB: 4, vcpus: 3 } }));
  assert.deepEqual(result, { name: 'demo', answers: { profiles: ['dev'], memoryMiB: 4096, vcpus: 3 } });
  const hub = ui.asked[2];
  assert.deepEqual(hub?.kind === 'pick' && [hub.choices[1]?.description, hub.choices[1]?.icon], ['not enough memory', 'warning']);
  assert.equal(wrongOf(ui.asked[3]), 'not enough memory');
});

test('an image that cannot have the profiles leads back to them', async () => {
  const ui = new ScriptedUi(['demo', ['nvidia'], 'Image', 'trial', 'Create demo', ['dev'], 'Create demo']);
  const result = await askCreate(ui, facts({ last: { image: 'nixos' } }));
  assert.deepEqual(result, { name: 'demo', answers: { profiles: ['dev'], image: 'trial' } });
  assert.match(wrongOf(ui.asked[5]) ?? '', /no profile nvidia in trial/);
  assert.deepEqual(labels(ui.asked[5]), ['claude', 'dev']);
});

test('a name that was taken meanwhile is asked for again', async () => {
  let taken: string[] = [];
  const check = async (draft: DraftParams) => checkDraft(draft, { taken });
  const ui = new ScriptedUi(['demo', ['dev'], () => {
    taken = ['demo'];
    return 'Create demo';
  }, 'other', ['dev'], 'Create other']);
  assert.deepEqual(await askCreate(ui, facts({ check })), { name: 'other', answers: { profiles: ['dev'] } });
  assert.match(wrongOf(ui.asked[3]) ?? '', /already/);
});

test('what no question can mend is said where it is, and nothing is made', async () => {
  const check = async (draft: DraftParams) => {
    const { fields } = checkDraft(draft);
    return { ok: false, fields: { ...fields, backend: { ok: false, problem: { code: 'backend.missing_program', message: 'qemu is missing', retryable: false } } } };
  };
  const ui = new ScriptedUi(['demo', ['dev'], 'Create demo', undefined]);
  assert.equal(await askCreate(ui, facts({ check })), undefined);
  assert.equal(wrongOf(ui.asked[3]), 'qemu is missing');
});
