import type { App } from '../app';
import type { Operation } from '../protocol';
import type { Disposable } from '../util/emitter';

/**
 * Tells the user of an attached window about disruptive operations on its VM,
 * by any client. Remote-SSH only sees a broken connection, and opens it
 * again, which would start a VM that was just stopped.
 */
export function watchDisruptions(app: App, host: string): Disposable {
  const seen = new Set<string>();
  return app.store.onChange(({ ended }) => {
    const name = app.store.machineOfHost(host)?.name;
    for (const operation of app.store.running) {
      if (operation.machine === name && operation.outcome === 'down' && !seen.has(operation.id)) {
        seen.add(operation.id);
        void offerToLeave(app, operation);
      }
    }
    for (const operation of ended) {
      if (operation.machine === name && operation.state === 'succeeded' && operation.outcome === 'replaced') {
        void offerToReload(app, operation);
      }
    }
  });
}

async function offerToLeave(app: App, { kind, machine }: Operation): Promise<void> {
  const leave = 'Close Remote Connection';
  const chosen = await app.ui.warn(
    `This window is attached to ${machine}, and ${kind} has begun. If the window reconnects, it starts the VM again.`,
    leave,
  );
  if (chosen === leave) {
    await app.workbench.execute('workbench.action.remote.close');
  }
}

async function offerToReload(app: App, { machine, snapshot }: Operation): Promise<void> {
  const reload = 'Reload Window';
  const now = snapshot ? `has been restored to ${snapshot}` : 'is a different system now';
  const chosen = await app.ui.info(`${machine} ${now}. This window shows the files as they were before.`, reload);
  if (chosen === reload) {
    await app.workbench.execute('workbench.action.reloadWindow');
  }
}
