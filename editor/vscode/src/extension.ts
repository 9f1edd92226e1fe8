import { dirname } from 'node:path';
import * as vscode from 'vscode';
import { tellProblem, type App } from './app';
import { allCommands } from './commands/all';
import { Client } from './daemon/client';
import { askPaths, checkPlatform, type Paths } from './daemon/paths';
import { findProgram } from './daemon/program';
import { listenToDaemon } from './daemonLog';
import { Operations } from './model/operations';
import { Store } from './model/store';
import { watchDisruptions } from './remote/disruption';
import { forgetHosts } from './remote/forget';
import { awaitAttachedHost, awaitNamelessHost, ourHosts, startBeforeConnect } from './remote/onConnect';
import { sshExtensionIds } from './remote/sshExtensions';
import { SshLog } from './remote/sshLog';
import { realSurroundings } from './surroundings';
import { offerContexts } from './ui/contexts';
import { machinesView } from './ui/machinesView';
import { statusBar } from './ui/statusBar';
import { vscodeRemoteSsh } from './ui/vscodeRemoteSsh';
import { readSettings } from './ui/vscodeSettings';
import { vscodeUi } from './ui/vscodeUi';
import { vscodeWorkbench } from './ui/vscodeWorkbench';
import { watchUnresolved } from './unresolved';
import { Emitter } from './util/emitter';
import { noteUsed, tellDone } from './walkthrough';

/**
 * Runs when the view is opened, a command is used, or Remote-SSH is about to
 * connect to anything; VS Code waits for the latter.
 */
export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const app = makeApp(context);
  context.subscriptions.push(...listenToDaemon(app), machinesView(app), offerContexts(app), watchUnresolved(app), forgetHosts(app), ...registerCommands(app));
  await tellDone(app);
  if (vscode.env.remoteName === 'ssh-remote') {
    await attachedWindow(app, context);
  }
}

function makeApp(context: vscode.ExtensionContext): App {
  const log = vscode.window.createOutputChannel('NixVM', { log: true });
  const client = new Client({
    clientInfo: { name: vscode.env.appName, version: vscode.version },
    socketPath: async () => readSettings().socket || (await paths()).socket,
    launch: () => (readSettings().startDaemon ? async () => void (await ask(true)) : undefined),
  });
  const operations = new Operations(client);
  context.subscriptions.push(log, client, operations);
  return {
    ui: vscodeUi,
    workbench: vscodeWorkbench,
    remoteSsh: vscodeRemoteSsh,
    client,
    store: new Store(),
    operations,
    memory: context.globalState,
    log,
    surroundings: realSurroundings,
    paths,
    forwardsChanged: new Emitter<string>(),
    settings: readSettings,
  };
}

async function ask(start: boolean): Promise<Paths> {
  checkPlatform(process.platform);
  return askPaths(findProgram(readSettings().path, realSurroundings), process.env, start);
}

/** What the program has said before; it depends on the environment, which stays. */
const asked = new Map<string, Promise<Paths>>();

function paths(): Promise<Paths> {
  const { path } = readSettings();
  const before = asked.get(path);
  if (before) {
    return before;
  }
  const now = ask(false);
  asked.set(path, now);
  now.catch(() => asked.delete(path)); // it may be installed by the next time
  return now;
}

/** Every command ends in a message at worst, never in silence or a stack trace. */
function registerCommands(app: App): vscode.Disposable[] {
  return Object.entries(allCommands(app)).map(([name, run]) =>
    vscode.commands.registerCommand(`nixvm.${name}`, async (first?: unknown, selected?: unknown) => {
      try {
        await run(first, selected);
        await noteUsed(app, name);
      } catch (error) {
        // Not awaited: the command is over, whether or not the message is read.
        void tellProblem(app, error);
      }
    }),
  );
}

/** A window that Remote-SSH opens: if it leads to one of our VMs, start that and show how it is. */
async function attachedWindow(app: App, context: vscode.ExtensionContext): Promise<void> {
  const hosts = await ourHosts(app.paths);
  if (hosts.length === 0) {
    return;
  }
  const log = new SshLog(dirname(context.logUri.fsPath), sshExtensionIds);
  const host = await awaitAttachedHost(app);
  if (host === undefined) {
    // Not awaited: its SSH extension says where it leads once we are out of its way.
    void namelessWindow(app, context, log, hosts);
  } else if (hosts.includes(host)) {
    await attachedTo(app, context, host);
  }
}

/** A window without a folder. */
async function namelessWindow(app: App, context: vscode.ExtensionContext, log: SshLog, hosts: string[]): Promise<void> {
  const closed = new AbortController();
  context.subscriptions.push({ dispose: () => closed.abort() });
  const host = await awaitNamelessHost(app, log, closed.signal);
  if (host === undefined) {
    app.log.info('cannot determine which host this window is attached to');
  } else if (hosts.includes(host) && !closed.signal.aborted) {
    app.workbench.attachedTo(host);
    await attachedTo(app, context, host);
  }
}

async function attachedTo(app: App, context: vscode.ExtensionContext, host: string): Promise<void> {
  context.subscriptions.push(statusBar(app, host), watchDisruptions(app, host));
  // The status bar shows a failure.
  app.client.connect().catch(() => {});
  await startBeforeConnect(app, host);
}
