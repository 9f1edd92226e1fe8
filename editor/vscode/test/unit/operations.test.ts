import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { Report } from '../../src/model/operations';
import { fakeApp, type FakeApp } from './fakeApp';
import { operation } from './machines';
import { problem, until } from './scriptedDaemon';

let app: FakeApp;
let reports: Report[];
let controller: AbortController;

beforeEach(async () => {
  app = await fakeApp();
  reports = [];
  controller = new AbortController();
});

afterEach(() => app.end());

const begin = (): Promise<unknown> => app.operations.begin('nixvm/vm/start', { name: 'demo' }, (report) => reports.push(report), controller.signal);
const progress = (value: object): void => app.daemon.push('$/progress', { token: 'test-1', value });
const asked = (): Promise<void> => until('the daemon was asked', () => app.daemon.paramsOf('nixvm/vm/start').length === 1);

test('an operation reports only its own progress', async () => {
  let answer: (value: unknown) => void = () => {};
  app.daemon.handlers.set('nixvm/vm/start', () => new Promise((resolve) => (answer = resolve)));
  const result = begin();
  await asked();
  assert.deepEqual(app.daemon.paramsOf('nixvm/vm/start'), [{ name: 'demo', workDoneToken: 'test-1' }]);
  progress({ kind: 'begin', title: 'Start demo', operation: 'op1' });
  app.daemon.push('$/progress', { token: 'other', value: { kind: 'report', message: 'not ours' } });
  progress({ kind: 'report', message: 'booting', percentage: 40 });
  await until('both reports are there', () => reports.length === 2);
  assert.deepEqual(reports, [{}, { message: 'booting', percentage: 40 }]);
  answer({ operation: operation('op1', 'demo', { state: 'succeeded' }) });
  await result;
});

test('cancelling one that runs cancels it by its token, and its end is the daemon’s to tell', async () => {
  let answer: (value: unknown) => void = () => {};
  app.daemon.handlers.set('nixvm/vm/start', () => new Promise((resolve) => (answer = resolve)));
  const result = begin();
  await asked();
  progress({ kind: 'begin', operation: 'op1' });
  await until('it has begun', () => reports.length === 1);
  controller.abort();
  await until('the cancel arrived', () => app.daemon.notified.some(({ method }) => method === 'window/workDoneProgress/cancel'));
  answer(problem('operation.cancelled', 'start demo was cancelled'));
  await assert.rejects(result, { code: 'operation.cancelled' });
});

test('cancelling one that has not begun cancels the request', async () => {
  app.daemon.handlers.set('nixvm/vm/start', (_, token) => new Promise((resolve) => token.onCancellationRequested(() => resolve(problem('operation.cancelled', 'never began')))));
  const result = begin();
  await asked();
  controller.abort();
  await assert.rejects(result, { message: 'never began' });
});

test('one whose connection was lost is followed again, and can still be cancelled', async () => {
  app.daemon.handlers.set('nixvm/vm/start', () => new Promise(() => {}));
  const result = begin();
  await asked();
  progress({ kind: 'begin', operation: 'op1' });
  await until('it has begun', () => reports.length === 1);

  let answer: (value: unknown) => void = () => {};
  app.daemon.handlers.set('nixvm/operation/subscribe', () => new Promise((resolve) => (answer = resolve)));
  app.launch = () => app.daemon.listen();
  await app.daemon.die();
  controller.abort();
  await until('it is followed again', () => app.daemon.paramsOf('nixvm/operation/subscribe').length === 1);
  assert.deepEqual(app.daemon.paramsOf('nixvm/operation/subscribe'), [{ id: 'op1', workDoneToken: 'test-1' }]);
  await until('the cancel is told again', () => app.daemon.notified.some(({ method }) => method === 'window/workDoneProgress/cancel'));
  answer({ operation: operation('op1', 'demo', { state: 'succeeded' }) });
  await result;
});

test('one that may not have begun when the connection was lost fails', async () => {
  app.daemon.handlers.set('nixvm/vm/start', () => new Promise(() => {}));
  const result = begin();
  await asked();
  const rejected = assert.rejects(result, { code: 'daemon.gone' });
  await app.daemon.die();
  await rejected;
});

test('when there is no daemon to come back to, waiting ends', async () => {
  app.daemon.handlers.set('nixvm/vm/start', () => new Promise(() => {}));
  const result = begin();
  await asked();
  progress({ kind: 'begin', operation: 'op1' });
  await until('it has begun', () => reports.length === 1);
  const rejected = assert.rejects(result, { code: 'daemon.unreachable' });
  await app.daemon.die();
  await rejected;
});
