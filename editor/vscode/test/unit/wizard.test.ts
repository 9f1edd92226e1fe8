import assert from 'node:assert/strict';
import { test } from 'node:test';
import { askCreate, type Facts } from '../../src/create/wizard';
import { back } from '../../src/ui/ui';
import { ScriptedUi, type Asked } from './fakeApp';
import { backend, machine } from './machines';

const profile = (name: string, more: object = {}) => ({ name, description: `the ${name}`, requires: [], agent: false, images: ['nixos', 'trial'], ...more });

const facts = (more: Partial<Facts> = {}): Facts => ({
  machine: () => undefined,
  profiles: [profile('core'), profile('dev'), profile('claude', { agent: true }), profile('nvidia', { images: ['nixos'], requires: ['docker'] })],
  backends: [backend('qemu')],
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
  const defaults = { profiles: ['dev'], image: 'trial', mode: 'mutable', memoryMiB: 4096, vcpus: 4, diskBytes: 30 * 2 ** 30, network: 'nat' };
  const ui = new ScriptedUi(['demo', [], 'CPUs', '2', 'Create demo']);
  await askCreate(ui, facts({ defaults }));
  const [, , hub, cpus, last] = ui.asked;
  assert.ok(hub?.kind === 'pick' && cpus?.kind === 'text' && last?.kind === 'pick');
  assert.equal(hub.choices[0]?.description, 'dev (default)', 'no profiles leave them to the daemon');
  const described = (asked: typeof hub) => asked.choices.slice(1).map(({ description }) => description);
  assert.deepEqual(described(hub), ['4 GiB (default)', '4 (default)', '30 GiB (default)', 'nat (default)', 'trial (default)', 'mutable (default)']);
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
  await askCreate(ui, facts({ machine: (name) => (name === 'taken' ? machine('taken') : undefined) }));
  const complaint = (n: number, text: string): string | undefined => {
    const asked = ui.asked[n];
    return asked?.kind === 'text' ? asked.question.complaint?.(text) : 'not a text';
  };
  assert.match(complaint(0, 'Demo') ?? '', /a-z/);
  assert.match(complaint(0, 'taken') ?? '', /already/);
  assert.match(complaint(3, 'much') ?? '', /20G/);
  assert.match(complaint(5, '0') ?? '', /number of CPUs/i);
  assert.match(complaint(7, 'wifi') ?? '', /bridge:/);
});

test('a network is asked for only where there is a choice, a backend only where there are several', async () => {
  const plain = backend('plain');
  plain.capabilities.bridge = false;
  const few = new ScriptedUi(['demo', [], undefined]);
  await askCreate(few, facts({ backends: [plain] }));
  assert.deepEqual(labels(few.asked[2]), ['Create demo', 'Memory', 'CPUs', 'Disk', 'Image', 'Mode']);

  const lab = backend('lab', { default: false, type: 'libvirt' });
  const many = new ScriptedUi(['demo', [], 'Backend', 'lab', 'Create demo']);
  assert.deepEqual(await askCreate(many, facts({ backends: [plain, lab] })), { name: 'demo', answers: { profiles: [], backend: 'lab' } });
});

test('a size that was rounded to be shown, and is left alone, is not changed', async () => {
  const declared = machine('old', { state: 'absent', diskBytes: 20_000_000_000 });
  const ui = new ScriptedUi([['dev'], 'Disk', '18.6 GiB', 'Create old']);
  const result = await askCreate(ui, facts({ declared }));
  assert.equal(ui.asked[2]?.kind === 'text' && ui.asked[2].question.value, '18.6 GiB');
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
