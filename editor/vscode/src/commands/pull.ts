import { answered, operate, type App } from '../app';
import type { ReviewResult } from '../protocol';
import type { Commands } from './commands';
import { target, type Arguments } from './target';

/** Object names for people. */
const short = (id: string): string => id.slice(0, 12);

const rest = (all: number, shown: number): string[] => (all > shown ? [`  and ${all - shown} more`] : []);

/** What a branch adds to the checkout. The daemon has removed control characters from all of it. */
export function reviewText(review: ReviewResult): string {
  const { ref, commit, base, commits, commitCount, files, fileCount, flags, incomplete } = review;
  return [
    `${ref} is at ${short(commit)}.`,
    ...(base ? [] : ['It has no common history with HEAD: everything in it is new.']),
    ...(incomplete ? [`Not everything was examined: ${incomplete}.`] : []),
    '',
    flags.length > 0 ? 'Look at these before you check out or merge the branch; they could run on this computer:' : 'No change is in a file that is known to run by itself on this computer.',
    ...flags.flatMap(({ rule, why, paths, count }) => [
      `  ${rule}: ${why}`,
      ...paths.map(({ path, found }) => `    ${path}${found ? `: ${found}` : ''}`),
      ...rest(count, paths.length),
    ]),
    '',
    `Commits: ${commitCount}`,
    ...commits.map(({ id, subject, author }) => `  ${short(id)} ${subject} (${author})`),
    ...rest(commitCount, commits.length),
    '',
    `Changed files: ${fileCount}`,
    ...files.map(({ path, status, added, deleted }) => `  ${status} ${path} (${added === undefined ? 'binary' : `+${added} -${deleted ?? 0}`})`),
    ...rest(fileCount, files.length),
    '',
  ].join('\n');
}

async function pull(app: App, args: Arguments): Promise<void> {
  const { name } = await target(app, args, 'pull', 'Pull the branch of an agent');
  const title = `Pull the branch of ${name}`;
  const directory = app.workbench.localFolder() ?? answered(await app.ui.path({ title, prompt: 'Into which checkout on this computer?', folder: true }));
  const repository = answered(await app.ui.text({ title, prompt: 'Repository in the VM: an absolute path, or one that begins with ~/', value: '~/project' })).trim();
  const { operation } = await operate(app, title, 'nixvm/agent/pull', { name, directory, ...(repository ? { repository } : {}) });
  const review = await app.client.request('nixvm/agent/review', { directory, ref: operation.ref ?? '' });
  await app.workbench.showText(reviewText(review));
  const diff = 'Show Diff';
  const flagged = review.flags.reduce((sum, { count }) => sum + count, 0);
  const say = flagged > 0 || review.incomplete ? app.ui.warn : app.ui.info;
  const chosen = await say(`${review.ref} has ${review.commitCount} new commits; ${flagged} changes could run on this computer.`, diff);
  if (chosen === diff) {
    // Without programs of the user's configuration, on content of the guest.
    const run = ['git', '-C', directory, 'diff', '--no-ext-diff', '--no-textconv', '--end-of-options', review.base ?? 'HEAD', review.ref];
    app.workbench.openTerminal({ name: `${name}: diff`, run, icon: 'git-compare' });
  }
}

export const pullCommands = (app: App): Commands => ({ pull: (...args) => pull(app, args) });
