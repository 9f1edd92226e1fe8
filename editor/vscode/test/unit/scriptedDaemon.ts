import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createMessageConnection, ResponseError, SocketMessageReader, SocketMessageWriter, type CancellationToken, type MessageConnection } from 'vscode-jsonrpc/node';
import type { Backend, Capabilities, CreateDefaults, Machine, Operation, Verb } from '../../src/protocol';
import type { DraftParams } from '../../src/protocol';
import { checkDraft, type Rules } from './draftRules';
import { backend, verbs } from './machines';

type Handler = (params: Record<string, unknown>, token: CancellationToken) => unknown;

/** A daemon that does what the test says, behind a real socket. */
export class ScriptedDaemon {
  private readonly directory = mkdtempSync(join(tmpdir(), 'nixvm-'));
  private readonly sockets = new Set<Socket>();
  private readonly connections = new Set<MessageConnection>();
  private server: Server | undefined;

  readonly socketPath = join(this.directory, 'nixvmd.sock');
  /** What was asked, in order. */
  readonly asked: { method: string; params: Record<string, unknown> }[] = [];
  /** What was notified, in order. */
  readonly notified: { method: string; params: unknown }[] = [];
  readonly handlers = new Map<string, Handler>();
  /** So many connections are cut off as they begin, as a daemon does that ends. */
  cutOff = 0;
  defaults: CreateDefaults = { profiles: [], mode: 'immutable', memoryMiB: 2048, vcpus: 2, diskBytes: 20 * 2 ** 30, network: 'nat' };
  /** What a draft is checked by, besides the machines that there are. */
  rules: Rules = {};
  revision: number | undefined = 2;
  verbs: Verb[] = [...verbs];
  machines: Machine[] = [];
  operations: Operation[] = [];
  backends: Backend[] = [backend('qemu')];
  methods: string[] = ['nixvm/machine/check', 'nixvm/attach', 'nixvm/vm/create', 'nixvm/vm/start', 'nixvm/vm/stop', 'nixvm/vm/destroy', 'nixvm/snapshot/create', 'nixvm/snapshot/restore', 'nixvm/snapshot/delete'];

  constructor() {
    this.handlers.set('nixvm/machine/list', () => ({ machines: this.machines, operations: this.operations }));
    this.handlers.set('nixvm/machine/check', (draft) => checkDraft(draft as DraftParams, { ...this.rules, defaults: this.defaults, taken: this.taken(draft as DraftParams) }));
    this.handlers.set('nixvm/backend/list', () => ({ backends: this.backends }));
  }

  /** A machine that is only declared can be created. */
  private taken(draft: DraftParams): string[] {
    return this.machines.filter(({ state }) => draft.for === 'clone' || draft.suggest || state !== 'absent').map(({ name }) => name);
  }

  listen(): Promise<void> {
    this.server = createServer((socket) => this.serve(socket));
    return new Promise((resolve) => this.server?.listen(this.socketPath, () => resolve()));
  }

  /** Dies as kill -9 would, but for the socket file. */
  async die(): Promise<void> {
    for (const socket of this.sockets) {
      socket.destroy();
    }
    await new Promise<void>((resolve) => (this.server ? this.server.close(() => resolve()) : resolve()));
    this.server = undefined;
  }

  async end(): Promise<void> {
    await this.die();
    rmSync(this.directory, { recursive: true, force: true });
  }

  push(method: string, params: object): void {
    for (const connection of this.connections) {
      void connection.sendNotification(method, params);
    }
  }

  /** The params of the requests of one method. */
  paramsOf(method: string): Record<string, unknown>[] {
    return this.asked.filter((each) => each.method === method).map((each) => each.params);
  }

  private serve(socket: Socket): void {
    if (this.cutOff > 0) {
      this.cutOff--;
      socket.destroy();
      return;
    }
    this.sockets.add(socket);
    const connection = createMessageConnection(new SocketMessageReader(socket), new SocketMessageWriter(socket));
    connection.onClose(() => {
      this.sockets.delete(socket);
      this.connections.delete(connection);
    });
    connection.onError(() => {});
    connection.onRequest('initialize', () => ({
      capabilities: { experimental: { nixvm: this.capabilities() } },
      serverInfo: { name: 'nixvmd', version: 'scripted' },
    }));
    connection.onNotification('initialized', () => {
      this.connections.add(connection);
      void connection.sendNotification('nixvm/didChange', { full: true, machines: this.machines, operations: this.operations });
    });
    connection.onNotification((method, params) => {
      this.notified.push({ method, params });
    });
    connection.onRequest((method, params, token) => {
      const object = params as Record<string, unknown>;
      this.asked.push({ method, params: object });
      const handler = this.handlers.get(method);
      return handler ? handler(object, token) : problem('session.method_unknown', `no ${method}`);
    });
    connection.listen();
  }

  private capabilities(): Capabilities {
    return { protocolVersion: 1, ...(this.revision ? { revision: this.revision } : {}) as { revision: number }, verbs: this.verbs, methods: this.methods, backends: this.backends, sshConfigFile: '/nowhere/ssh/config', defaults: this.defaults };
  }
}

/** An error answer as the daemon gives it. */
export const problem = (code: string, message: string, hint = ''): ResponseError<object> =>
  new ResponseError(-32803, message, { code, hint, retryable: false });

/** Waits until something is true; says what it waited for when it never is. */
export async function until(what: string, isTrue: () => boolean): Promise<void> {
  const end = performance.now() + 10_000;
  while (!isTrue()) {
    if (performance.now() > end) {
      throw new Error(`waited in vain until ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
