import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { allCommands } from '../../src/commands/all';
import { impossible, verbs } from '../../src/model/verbs';
import { viewState } from '../../src/tree/present';
import { defaults, fakeApp } from './fakeApp';
import { backend } from './machines';

interface Manifest {
  extensionKind: string[];
  activationEvents: string[];
  capabilities: unknown;
  contributes: {
    commands: { command: string; category: string; title: string }[];
    menus: Record<string, { command: string; when: string; group: string }[]>;
    viewsWelcome: { when: string; contents: string }[];
    walkthroughs: { steps: { id: string; description: string; media: { markdown: string }; completionEvents: string[] }[] }[];
    configuration: { properties: Record<string, { scope: string; default: unknown; markdownDescription: string }> };
  };
}

const { contributes, ...manifest } = JSON.parse(readFileSync('package.json', 'utf8')) as Manifest;
const declared = contributes.commands.map(({ command }) => command);

test('every command that is declared exists, and the other way round', async () => {
  const app = await fakeApp();
  assert.deepEqual(Object.keys(allCommands(app)).map((name) => `nixvm.${name}`).sort(), [...declared].sort());
  await app.end();
});

test('all commands are in one category', () => {
  assert.deepEqual([...new Set(contributes.commands.map(({ category }) => category))], ['NixVM']);
});

test('menus, welcomes and the walkthrough name commands that exist', () => {
  const texts = [...contributes.viewsWelcome.map(({ contents }) => contents), ...contributes.walkthroughs.flatMap(({ steps }) => steps.map(({ description }) => description))];
  const linked = texts.flatMap((text) => [...text.matchAll(/\(command:(nixvm\.\w+)/g)].map(([, command]) => command));
  const inMenus = Object.values(contributes.menus).flat().map(({ command }) => command);
  assert.ok(linked.length > 5 && inMenus.length > 20);
  for (const command of [...linked, ...inMenus]) {
    assert.ok(declared.includes(command ?? ''), command);
  }
});

test('every tag that a menu asks for can be set', () => {
  const known = [...Object.keys(verbs), 'cancel', 'otherOperation', 'undo', 'forget'];
  for (const { when } of contributes.menus['view/item/context'] ?? []) {
    const [, tag] = /can-(\w+)/.exec(when) ?? [];
    assert.ok(!tag || known.includes(tag), `${tag} in ${when}`);
  }
});

test('the palette hides what cannot be done by a name that can be told', () => {
  const tellable = impossible({ methods: [], verbs: [], backends: [backend('none', { actions: [] })] });
  const clauses = Object.values(contributes.menus).flat().flatMap(({ when }) => [...when.matchAll(/nixvm\.without\.(\w+)/g)].map(([, name]) => name ?? ''));
  assert.ok(clauses.length > 10);
  for (const name of clauses) {
    assert.ok(tellable.includes(name), name);
  }
});

test('the clauses of menus are regular expressions that match the tags they mean', () => {
  for (const { command, when } of contributes.menus['view/item/context'] ?? []) {
    const [, source] = /viewItem =~ \/(.*)\/$/.exec(when) ?? [];
    assert.ok(source, when);
    const [, kind, verb] = /^\^(\w+)(?:.*can-(\w+))?/.exec(source) ?? [];
    const matches = new RegExp(source);
    const own = verb ? `${kind}+running+can-other+can-${verb}+can-last` : `${kind}`;
    assert.ok(matches.test(own), `${command}: ${own}`);
    assert.ok(!verb || !matches.test(`${kind}+running+can-${verb}More`), `${command}: a longer tag`);
    assert.ok(!matches.test('fact'), command);
  }
});

test('there is a welcome for every empty state', () => {
  const offer = { methods: undefined, verbs: [], backends: [] };
  const states = ['noProgram', 'noPlatform', 'otherVersion', 'unreachable', 'empty'];
  for (const code of ['daemon.no_program', 'daemon.no_platform', 'session.protocol_unsupported']) {
    assert.ok(states.includes(viewState('failed', code, 0, offer)), code);
  }
  assert.equal(viewState('failed', 'daemon.unreachable', 0, offer), 'noDaemon', 'whose message has the reason, and whose rows are buttons');
  assert.deepEqual(contributes.viewsWelcome.map(({ when }) => when), states.map((state) => `nixvm.state == ${state}`));
});

test('settings have a description, the defaults that the code expects, and are the user’s alone', () => {
  const { properties } = contributes.configuration;
  assert.deepEqual(Object.keys(properties).sort(), Object.keys(defaults).map((key) => `nixvm.${key}`).sort());
  for (const [key, { scope, markdownDescription }] of Object.entries(properties)) {
    assert.equal(scope, 'application', `${key}: a workspace or a VM must not choose it`);
    assert.ok(markdownDescription.length > 20, key);
  }
  const expected = { ...defaults, startDaemon: true };
  assert.deepEqual(Object.fromEntries(Object.entries(properties).map(([key, value]) => [key.slice('nixvm.'.length), value.default])), expected);
});

test('the extension runs where the daemon is, and sleeps until it is needed', () => {
  assert.deepEqual(manifest.extensionKind, ['ui']);
  assert.deepEqual(manifest.activationEvents, ['onResolveRemoteAuthority:ssh-remote']);
  assert.deepEqual(manifest.capabilities, { untrustedWorkspaces: { supported: true }, virtualWorkspaces: true });
});

test('the walkthrough has its texts, and each step ends by what it is for, not by a command that may have failed', () => {
  for (const { id, media, completionEvents } of contributes.walkthroughs.flatMap(({ steps }) => steps)) {
    assert.ok(existsSync(media.markdown), media.markdown);
    assert.ok(completionEvents.length > 0, id);
    assert.deepEqual(completionEvents.filter((event) => event.startsWith('onCommand:')), [], id);
  }
});

/** The modules that a module imports, but for their types, as paths below src. */
function importsOf(name: string): string[] {
  const text = readFileSync(`src/${name}`, 'utf8');
  return [...text.matchAll(/^import (?!type )[^;]*? from '(\.[^']+)';/gms)].map(([, path = '']) => join(dirname(name), `${path}.ts`));
}

test('no module imports itself through others', () => {
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  const done = new Set<string>();
  let arrows = 0;
  const visit = (name: string, path: string[]): void => {
    assert.ok(!path.includes(name), `a circle: ${[...path, name].join(' -> ')}`);
    if (!done.has(name)) {
      const imports = importsOf(name);
      arrows += imports.length;
      imports.forEach((each) => visit(each, [...path, name]));
      done.add(name);
    }
  };
  files.forEach((name) => visit(name, []));
  assert.ok(arrows > files.length, 'the imports were found');
});

test('only the modules that are VS Code’s face need VS Code', () => {
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  const facing = files.filter((name) => /from 'vscode'/.test(readFileSync(`src/${name}`, 'utf8')));
  const allowed = /^(extension|tree\/provider|ui\/\w+)\.ts$/;
  assert.deepEqual(facing.filter((name) => !allowed.test(name)), []);
});
