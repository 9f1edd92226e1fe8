import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { reviewText } from '../../src/commands/pull';
import type { ReviewResult } from '../../src/protocol';
import { fakeApp, type FakeApp } from './fakeApp';
import { machine, operation } from './machines';

let app: FakeApp;

const ref = 'refs/nixvm/demo/dev/work';
const review: ReviewResult = {
  directory: '/src/shop', ref, commit: '1'.repeat(40), base: '2'.repeat(40), commitCount: 3, fileCount: 2,
  commits: [{ id: '1'.repeat(40), subject: 'Add a shop', author: 'Agent' }],
  files: [{ path: '.envrc', status: 'added', added: 1, deleted: 0 }, { path: 'x.png', status: 'modified' }],
  flags: [{ rule: 'shell', why: 'direnv runs it', paths: [{ path: '.envrc' }], count: 4 }, { rule: 'submodule', why: 'git fetches it', paths: [{ path: '.gitmodules', found: 'url ext::sh' }], count: 1 }],
};

beforeEach(async () => {
  app = await fakeApp();
  app.daemon.machines = [machine('demo')];
  app.daemon.methods.push('nixvm/agent/pull', 'nixvm/agent/review');
  app.daemon.handlers.set('nixvm/agent/pull', () => ({ operation: operation('1', 'demo', { kind: 'pull', state: 'succeeded', ref }) }));
  app.daemon.handlers.set('nixvm/agent/review', () => review);
});

afterEach(() => app.end());

test('a branch is pulled into the folder of the window and shown with its flags', async () => {
  app.ui.answers.push('~/project');
  app.ui.actions.push('Show Diff');
  await app.run('pull', 'demo');
  const [{ workDoneToken: _, ...params }] = app.daemon.paramsOf('nixvm/agent/pull') as [{ workDoneToken: unknown }];
  assert.deepEqual(params, { name: 'demo', directory: '/src/shop', repository: '~/project' });
  assert.deepEqual(app.daemon.paramsOf('nixvm/agent/review'), [{ directory: '/src/shop', ref }]);
  assert.deepEqual(app.executed.at(-1), ['text', reviewText(review)]);
  assert.match(app.ui.shown.at(-1)?.message ?? '', /3 new commits; 5 changes could run/);
  assert.deepEqual(app.terminals.at(-1)?.run, ['git', '-C', '/src/shop', 'diff', '--no-ext-diff', '--no-textconv', '--end-of-options', review.base, ref]);
});

test('the text of a review has what could run first', () => {
  const text = reviewText(review);
  for (const line of ['refs/nixvm/demo/dev/work is at 111111111111.', '    .envrc', '  and 3 more', '    .gitmodules: url ext::sh', '  111111111111 Add a shop (Agent)', '  and 2 more', '  added .envrc (+1 -0)', '  modified x.png (binary)']) {
    assert.ok(text.split('\n').includes(line), line);
  }
  const { base: _, ...unrelated } = { ...review, flags: [], incomplete: 'too many files' };
  assert.match(reviewText(unrelated), /no common history[\s\S]*Not everything was examined: too many files\.[\s\S]*No change is in a file/);
});
