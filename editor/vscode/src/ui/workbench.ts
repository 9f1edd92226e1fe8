import type { VirtualTerminal } from './virtualTerminal';

export interface TerminalOptions {
  name: string;
  /** A program and its arguments, run on this computer, or what plays its part. */
  run: string[] | VirtualTerminal;
  /** A codicon. */
  icon: string;
}

/** What the commands do to the window; VS Code in the product, a record in tests. */
export interface Workbench {
  openRemote(uri: string, where: 'newWindow' | 'thisWindow'): Promise<void>;
  openTerminal(options: TerminalOptions): void;
  /** Types a command line into a new terminal of this computer, for the user to run. */
  proposeCommand(line: string): void;
  openFile(path: string): Promise<void>;
  /** Shows a text that is in no file. */
  showText(text: string): Promise<void>;
  openExternal(url: string): Promise<void>;
  copy(text: string): Promise<void>;
  execute(command: string, ...args: unknown[]): Promise<void>;
  /** Names of the workspace's first folder, for defaults. */
  projectName(): string | undefined;
  /** The first folder of the workspace that is on this computer. */
  localFolder(): string | undefined;
  /** Editors with unsaved changes to files of an SSH host. */
  unsaved(hosts: string[]): number;
  /** The SSH host that this window is attached to. */
  attachedHost(): string | undefined;
  /** The SSH host of the first file that is opened in a window without a folder; rejects when the signal is aborted. */
  openedOn(signal: AbortSignal): Promise<string>;
  /** A window without a folder has turned out to be attached to a host. */
  attachedTo(host: string): void;
}

/** What is kept from one window to the next. */
export interface Memory {
  get<T>(key: string): T | undefined;
  update(key: string, value: unknown): PromiseLike<void>;
}

/** The settings, as package.json describes them. */
export interface Settings {
  path: string;
  socket: string;
  startDaemon: boolean;
  afterCreate: 'newWindow' | 'thisWindow' | 'terminal' | 'ask';
  directories: Record<string, string>;
  agents: Record<string, string>;
  agentTmux: boolean;
  startOnConnect: boolean;
  configureRemoteSsh: boolean;
  sshPath: string;
}

/** Where lines for people go that look for the cause of something. */
export interface Log {
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
  show(): void;
}
