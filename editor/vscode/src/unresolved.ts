import { hasMethod } from './daemon/offered';
import { offerOf, tellProblem, type App } from './app';
import type { Disposable } from './util/emitter';

/** Reports once for each operation, of any client and any time, that it needs a decision. */
export function watchUnresolved(app: App): Disposable {
  const told = new Set<string>();
  return app.store.onChange(() => {
    const fresh = app.store.unresolved.filter(({ id }) => !told.has(id));
    fresh.forEach(({ id }) => told.add(id));
    if (fresh.length > 0 && hasMethod(offerOf(app), 'nixvm/operation/resolve')) {
      void offer(app, fresh.map(({ kind, machine }) => [kind, machine].filter(Boolean).join(' ')));
    }
  });
}

async function offer(app: App, names: string[]): Promise<void> {
  const resolve = 'Resolve...';
  const [verb, what] = names.length === 1 ? ['needs', 'It'] : ['need', 'They'];
  const chosen = await app.ui.warn(`${names.join(', ')} ${verb} a decision. ${what} failed and could not be undone.`, resolve);
  if (chosen === resolve) {
    await app.workbench.execute('nixvm.resolve').catch((error: unknown) => tellProblem(app, error));
  }
}
