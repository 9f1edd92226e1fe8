import type { App } from '../../src/app';
import { allCommands } from '../../src/commands/all';
import { Client } from '../../src/daemon/client';
import { listenToDaemon } from '../../src/daemonLog';
import { Operations } from '../../src/model/operations';
import { Store } from '../../src/model/store';
import type { SettingState } from '../../src/remote/presets';
import { realSurroundings } from '../../src/surroundings';
import type { Answer, Choice, Confirmation, PathQuestion, Question, TextQuestion, Ui } from '../../src/ui/ui';
import type { Settings, TerminalOptions } from '../../src/ui/workbench';
import { Emitter } from '../../src/util/emitter';
import { ScriptedDaemon } from './scriptedDaemon';

export type Asked =
  | { kind: 'pick' | 'pickMany'; question: Question; choices: Choice<unknown>[] }
  | { kind: 'text'; question: TextQuestion }
  | { kind: 'path'; question: PathQuestion }
  | { kind: 'confirm'; confirmation: Confirmation };

/** Answers to questions, in order: a label, labels, a text, true; a function sees the question first. */
export type Scripted = unknown;

/** A person who answers as the script says, and remembers what was shown. */
export class ScriptedUi implements Ui {
  readonly asked: Asked[] = [];
  readonly shown: { level: string; message: string; actions: string[] }[] = [];
  readonly progressTitles: string[] = [];
  readonly reports: object[] = [];
  /** What is chosen in a message that has this action. */
  readonly actions: string[] = [];
  /** Cancels the next progress. */
  readonly cancel = new Emitter<void>();

  constructor(readonly answers: Scripted[] = []) {}

  async pick<T>(question: Question, choices: Choice<T>[]): Promise<Answer<T>> {
    const answer = this.next({ kind: 'pick', question, choices });
    return typeof answer === 'string' ? valueOf(choices, answer) : (answer as Answer<T>);
  }

  async pickMany<T>(question: Question, choices: Choice<T>[]): Promise<Answer<T[]>> {
    const answer = this.next({ kind: 'pickMany', question, choices });
    return Array.isArray(answer) ? answer.map((label) => valueOf(choices, String(label))) : (answer as Answer<T[]>);
  }

  async text(question: TextQuestion): Promise<Answer<string>> {
    const answer = this.next({ kind: 'text', question }) as Answer<string>;
    const complaint = typeof answer === 'string' ? await question.complaint?.(answer) : undefined;
    if (complaint) {
      throw new Error(`${String(answer)} was refused: ${complaint}`);
    }
    return answer;
  }

  async path(question: PathQuestion): Promise<string | undefined> {
    return this.next({ kind: 'path', question }) as string | undefined;
  }

  async confirm(confirmation: Confirmation): Promise<boolean> {
    return this.next({ kind: 'confirm', confirmation }) === true;
  }

  info = (message: string, ...actions: string[]): Promise<string | undefined> => this.show('info', message, actions);
  warn = (message: string, ...actions: string[]): Promise<string | undefined> => this.show('warn', message, actions);
  error = (message: string, ...actions: string[]): Promise<string | undefined> => this.show('error', message, actions);

  busy = <T>(run: () => Promise<T>): Promise<T> => run();

  progress<T>(title: string, run: (report: (r: object) => void, signal: AbortSignal) => Promise<T>): Promise<T> {
    this.progressTitles.push(title);
    const controller = new AbortController();
    this.cancel.event(() => controller.abort());
    return run((report) => this.reports.push(report), controller.signal);
  }

  private async show(level: string, message: string, actions: string[]): Promise<string | undefined> {
    this.shown.push({ level, message, actions });
    return actions.find((action) => this.actions.includes(action));
  }

  private next(asked: Asked): unknown {
    this.asked.push(asked);
    if (this.answers.length === 0) {
      throw new Error(`no answer for ${JSON.stringify(asked)}`);
    }
    const answer = this.answers.shift();
    return typeof answer === 'function' ? (answer as (asked: Asked) => unknown)(asked) : answer;
  }
}

function valueOf<T>(choices: Choice<T>[], label: string): T {
  const choice = choices.find((each) => each.label === label);
  if (!choice) {
    throw new Error(`${label} is not among ${choices.map((each) => each.label).join(', ')}`);
  }
  return choice.value;
}

export interface FakeApp extends App {
  ui: ScriptedUi;
  daemon: ScriptedDaemon;
  terminals: TerminalOptions[];
  opened: [uri: string, where: string][];
  executed: unknown[][];
  copied: string[];
  logged: string[];
  written: { key: string; value: unknown }[];
  values: Map<string, unknown>;
  set: Settings;
  /** Starts the daemon again when it has died. */
  launch?: () => Promise<void>;
  run(command: string, ...args: unknown[]): Promise<void>;
  end(): Promise<void>;
}

export const defaults: Settings = {
  path: 'nixvmd',
  socket: '',
  startDaemon: false,
  afterCreate: 'newWindow',
  directories: {},
  agents: { claude: 'claude', opencode: 'opencode' },
  agentTmux: true,
  startOnConnect: true,
  configureRemoteSsh: true,
  sshPath: 'ssh',
};

/** The whole extension but VS Code, against a scripted daemon. */
export async function fakeApp(answers: Scripted[] = []): Promise<FakeApp> {
  const daemon = new ScriptedDaemon();
  await daemon.listen();
  const client = new Client({ clientInfo: { name: 'test', version: '1' }, socketPath: async () => daemon.socketPath, launch: () => app.launch, stableAfter: 0 });
  const logged: string[] = [];
  const record = (line: string): void => void logged.push(line);
  const values = new Map<string, unknown>();
  const settings: Record<string, SettingState> = {
    'remote.SSH.remotePlatform': { known: true, user: undefined, effective: {} },
    'remote.SSH.connectTimeout': { known: true, user: undefined, effective: 15 },
  };
  const app: FakeApp = {
    daemon,
    ui: new ScriptedUi(answers),
    terminals: [],
    opened: [],
    executed: [],
    copied: [],
    logged,
    written: [],
    values,
    set: { ...defaults },
    workbench: {
      openRemote: async (uri, where) => void app.opened.push([uri, where]),
      openTerminal: (options) => void app.terminals.push(options),
      proposeCommand: (line) => void app.executed.push(['terminal', line]),
      openFile: async (path) => void app.executed.push(['open', path]),
      showText: async (text) => void app.executed.push(['text', text]),
      openExternal: async (url) => void app.executed.push(['browse', url]),
      copy: async (text) => void app.copied.push(text),
      execute: async (...all) => void app.executed.push(all),
      projectName: () => 'Project',
      localFolder: () => '/src/shop',
      unsaved: () => 0,
      attachedHost: () => undefined,
      attachedTo: () => {},
      openedOn: (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted')))),
    },
    remoteSsh: {
      installed: () => ({ id: 'ms-vscode-remote.remote-ssh', name: 'Remote - SSH' }),
      recommended: () => ({ id: 'ms-vscode-remote.remote-ssh', name: 'Remote - SSH' }),
      readSetting: (key) => settings[key] ?? { known: false, user: undefined, effective: undefined },
      writeSetting: async (change) => void app.written.push(change),
    },
    client,
    store: new Store(),
    operations: new Operations(client, 'test'),
    memory: { get: <T>(key: string) => values.get(key) as T | undefined, update: async (key, value) => void values.set(key, value) },
    log: { info: record, warn: record, error: record, show: () => record('shown') },
    surroundings: realSurroundings,
    paths: async () => ({ socket: daemon.socketPath, sshConfig: '/nowhere/ssh/config', machines: '/nowhere/machines', log: '/nowhere/log' }),
    forwardsChanged: new Emitter<string>(),
    settings: () => app.set,
    run: async (command, ...args) => allCommands(app)[command]?.(args[0], args[1]),
    end: async () => {
      app.client.dispose();
      app.operations.dispose();
      await daemon.end();
    },
  };
  listenToDaemon(app);
  daemon.handlers.set('nixvm/ssh/apply', () => ({ warnings: [] }));
  daemon.handlers.set('nixvm/agent/list', ({ agents }) => ({ agents }));
  daemon.handlers.set('nixvm/agent/command', ({ name, agent, command, directory, tmux }) => ({
    sshHost: name, directory, session: agent, line: `run ${String(command)}${tmux === false ? ' alone' : ''}`,
  }));
  daemon.handlers.set('nixvm/attach', ({ name, directory }) => ({
    name,
    sshHost: name,
    user: 'user',
    directory: directory ?? '/home/user',
    tramp: '',
    trampPlain: '',
    vscodeUri: `vscode-remote://ssh-remote+${String(name)}${String(directory ?? '/home/user')}`,
    command: ['ssh', name],
    ready: true,
  }));
  return app;
}
