import { askAndDo, offerOf, operate, type App } from '../app';
import { askClone, cloneParams, type CloneAnswers, type CloneAsked } from '../create/clone';
import { checkOf } from '../create/draft';
import { backendOf } from '../daemon/offered';
import { can } from '../model/verbs';
import type { Commands } from './commands';
import { afterCreate, bridgesOf } from './create';
import { snapshotsOf } from './snapshot';
import { nodeOf, target, type Arguments } from './target';

/** Asks for the name of the copy; on a snapshot of the view, that is what is copied. */
async function clone(app: App, args: Arguments): Promise<void> {
  const source = await target(app, args, 'clone', 'Clone a VM');
  const node = nodeOf(args);
  const offer = offerOf(app);
  const snapshots = can('cloneSnapshot', source, offer) ? await snapshotsOf(app, source.name) : [];
  const { profiles } = await app.client.request('nixvm/profile/list', {});
  const bridged = backendOf(offer.backends, source.backend)?.capabilities.bridge ?? true;
  const facts = { source, snapshots, profiles, bridges: bridged ? () => bridgesOf(app, source.backend) : undefined, check: await checkOf(app) };
  const first: CloneAnswers = { snapshot: node?.kind === 'snapshot' ? node.snapshot.name : undefined, start: true };
  const title = ({ name }: CloneAsked): string => `Clone ${source.name} to ${name}`;
  const done = await askAndDo(
    app,
    (before: CloneAsked | undefined) => askClone(app.ui, facts, before ?? { answers: first }),
    title,
    (asked) => operate(app, title(asked), 'nixvm/vm/clone', cloneParams(source.name, asked)),
  );
  if (!done) {
    return;
  }
  const [{ name, answers }, { vm }] = done;
  if (answers.start) {
    await afterCreate(app, vm ?? app.store.machine(name));
  } else {
    void app.ui.info(`${name}, a copy of ${source.name}, has been created.`);
  }
}

export const cloneCommands = (app: App): Commands => ({
  clone: (...args) => clone(app, args),
  cloneSnapshot: (...args) => clone(app, args),
});
