import * as vscode from 'vscode';
import { offerOf, type App } from '../app';
import { describe } from '../daemon/problem';
import { timeOfDay } from '../model/words';
import type { ServerStatusParams } from '../protocol';
import { viewState } from '../tree/present';
import { MachineTree } from '../tree/provider';

const id = 'nixvm.machines';

/** The view: connects when it is looked at, and shows what is wrong in its place. */
export function machinesView(app: App): vscode.Disposable {
  const tree = new MachineTree(app);
  const view = vscode.window.createTreeView(id, { treeDataProvider: tree, canSelectMany: true, showCollapseAll: true });
  let status: ServerStatusParams | undefined;
  let shown: string | undefined;
  let before = 'idle';
  let lost = new Date();
  const show = (): void => {
    const { phase, problem } = app.client.status;
    lost = before === 'connected' && phase !== before ? new Date() : lost;
    before = phase;
    const state = viewState(phase, problem?.code, app.store.machines.length + app.store.strays.length, offerOf(app));
    if (state !== shown) {
      shown = state;
      void vscode.commands.executeCommand('setContext', 'nixvm.state', state);
    }
    // VS Code shows no welcome beside a message: the message waits while there is one.
    const messages: Record<string, string | undefined> = {
      connecting: phase === 'connecting' ? 'Connecting to nixvmd...' : undefined,
      ready: trouble(app, status),
      // Its rows are what can be done about it.
      noDaemon: `No connection to the daemon, nixvmd${problem ? `: ${describe(problem)}` : ''}`,
      stale: `No connection to nixvmd since ${timeOfDay(lost)}; showing the last known state. ${problem ? describe(problem) : ''}`,
    };
    const message = messages[state] ?? '';
    if (view.message !== message) {
      view.message = message;
    }
  };
  const look = (): void => {
    if (view.visible && ['idle', 'failed'].includes(app.client.status.phase)) {
      // The view itself shows that it failed, and what can be done.
      app.client.connect().catch(() => {});
    }
  };
  show();
  look();
  return vscode.Disposable.from(
    tree,
    view,
    view.onDidChangeVisibility(look),
    // After setting the right path, no button should be necessary as well.
    vscode.workspace.onDidChangeConfiguration((event) => event.affectsConfiguration('nixvm') && look()),
    app.client.wanted(() => view.visible),
    app.client.onStatus(show),
    app.store.onChange(show),
    app.client.onNotification((n) => {
      if (n.method === 'nixvm/serverStatus') {
        status = n.params;
        show();
      }
    }),
    progressInView(app),
  );
}

/** What is wrong although there is a connection: the daemon's own word, or a backend. */
function trouble(app: App, status: ServerStatusParams | undefined): string | undefined {
  if (status && status.health !== 'ok' && status.message) {
    return status.message;
  }
  const broken = app.client.backends.filter((backend) => backend.problem);
  const lines = broken.map(({ name, problem }) => `${name}: ${problem?.message ?? 'does not answer'}`);
  return lines.length > 0 && app.store.machines.length > 0 ? lines.join('\n') : undefined;
}

/** The bar above the view moves while an operation of any client runs. */
function progressInView(app: App): vscode.Disposable {
  let done: (() => void) | undefined;
  const show = (): void => {
    // Without a connection it is unknown whether they still run.
    const busy = app.store.running.length > 0 && app.client.status.phase !== 'failed';
    if (busy && !done) {
      void vscode.window.withProgress({ location: { viewId: id } }, () => new Promise<void>((resolve) => (done = resolve)));
    } else if (!busy && done) {
      done();
      done = undefined;
    }
  };
  return vscode.Disposable.from(app.store.onChange(show), app.client.onStatus(show), { dispose: () => done?.() });
}
