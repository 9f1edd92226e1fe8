import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { Client, type Status } from '../../src/daemon/client';
import type { Problem } from '../../src/daemon/problem';
import { machine } from './machines';
import { problem, ScriptedDaemon, until } from './scriptedDaemon';

let daemon: ScriptedDaemon;
let client: Client;
let stableAfter: number;
let launch: (() => Promise<void>) | undefined;
const phases: string[] = [];
const problems: (Problem | undefined)[] = [];

beforeEach(async () => {
  daemon = new ScriptedDaemon();
  launch = undefined;
  stableAfter = 3000;
  client = new Client({
    clientInfo: { name: 'test', version: '1' },
    socketPath: async () => daemon.socketPath,
    launch: () => launch,
    get stableAfter() {
      return stableAfter;
    },
  });
  phases.length = problems.length = 0;
  client.onStatus(({ phase, problem: why }: Status) => {
    phases.push(phase);
    problems.push(why);
  });
});

afterEach(async () => {
  client.dispose();
  await daemon.end();
});

test('the first request connects, and the full state is there before its answer', async () => {
  await daemon.listen();
  daemon.machines = [machine('demo')];
  const heard: string[] = [];
  client.onNotification(({ method }) => heard.push(method));
  const { machines } = await client.request('nixvm/machine/list', {});
  assert.deepEqual(machines.map(({ name }) => name), ['demo']);
  assert.deepEqual(heard, ['nixvm/didChange']);
  assert.deepEqual(phases, ['connecting', 'connected']);
  assert.equal(client.sshConfigFile, '/nowhere/ssh/config');
});

test('several requests at once share one connection', async () => {
  await daemon.listen();
  await Promise.all([client.connect(), client.request('nixvm/machine/list', {}), client.connect()]);
  assert.deepEqual(phases, ['connecting', 'connected']);
});

test('a daemon that does not run is started', async () => {
  let started = 0;
  launch = async () => {
    started++;
    await daemon.listen();
  };
  await client.connect();
  assert.equal(started, 1);
});

test('without a daemon and without leave to start one, the user learns what to do', async () => {
  await assert.rejects(client.connect(), { code: 'daemon.unreachable', hint: 'start it: nixvmd serve' });
  assert.deepEqual(phases, ['connecting', 'failed']);
});

test('a daemon that ends while one connects is asked again', async () => {
  await daemon.listen();
  daemon.cutOff = 2;
  await client.connect();
  assert.deepEqual(phases, ['connecting', 'connected']);
});

test('one that cuts off everybody is given up', async () => {
  await daemon.listen();
  daemon.cutOff = Infinity;
  await assert.rejects(client.connect(), { code: 'daemon.gone' });
});

test('what keeps the daemon from starting is the problem', async () => {
  launch = () => Promise.reject(new Error('no such luck'));
  await assert.rejects(client.connect(), /no such luck/);
});

test('an error answer keeps its code and hint', async () => {
  await daemon.listen();
  daemon.handlers.set('nixvm/machine/get', () => problem('machine.not_found', 'there is no machine x', 'nixvmd list'));
  await assert.rejects(client.request('nixvm/machine/get', { name: 'x' }), { code: 'machine.not_found', message: 'there is no machine x', hint: 'nixvmd list' });
});

test('a request that the connection takes with it fails as retryable', async () => {
  await daemon.listen();
  daemon.handlers.set('nixvm/doctor', () => new Promise(() => {}));
  const answer = client.request('nixvm/doctor', {});
  await until('the daemon was asked', () => daemon.asked.length === 1);
  const rejected = assert.rejects(answer, { code: 'daemon.gone', retryable: true });
  await daemon.die();
  await rejected;
});

test('aborting a request cancels it in the daemon', async () => {
  await daemon.listen();
  daemon.handlers.set('nixvm/doctor', (_, token) => new Promise((resolve) => token.onCancellationRequested(() => resolve(problem('operation.cancelled', 'cancelled')))));
  const controller = new AbortController();
  const answer = client.request('nixvm/doctor', {}, controller.signal);
  await until('the daemon was asked', () => daemon.asked.length === 1);
  controller.abort();
  await assert.rejects(answer, { code: 'operation.cancelled' });
});

test('a connection that is not needed stays lost', async () => {
  await daemon.listen();
  await client.connect();
  await daemon.die();
  await until('the loss is noticed', () => phases.at(-1) === 'failed');
  await daemon.listen();
  assert.equal(client.methods, undefined);
  await client.connect();
  assert.equal(phases.at(-1), 'connected');
});

test('a lost connection comes back for who needs it', async () => {
  stableAfter = 0;
  client.wanted(() => true);
  await daemon.listen();
  await client.connect();
  launch = () => daemon.listen();
  await daemon.die();
  await until('it is connected again', () => phases.slice(-3).join() === 'failed,connecting,connected');
  assert.equal(problems[2]?.code, 'daemon.gone');
});

test('a daemon that dies as soon as it is up is not started over and over', async () => {
  stableAfter = Infinity;
  client.wanted(() => true);
  await daemon.listen();
  await client.connect();
  launch = () => daemon.listen();
  await daemon.die();
  await until('the loss is noticed', () => phases.at(-1) === 'failed');
  assert.equal(problems.at(-1)?.code, 'daemon.unreachable');
});

test('a client that is disposed of does not come back', async () => {
  await daemon.listen();
  client.wanted(() => true);
  await client.connect();
  client.dispose();
  assert.equal(client.methods, undefined);
  assert.equal(phases.at(-1), 'connected');
});
