import type { Socket } from 'node:net';
import type { MessageConnection } from 'vscode-jsonrpc/node';
import type { Capabilities, InitializeParams, Notifications, Requests } from '../protocol';
import { problemCodes, protocolVersion } from '../protocol';
import { olderThanExtension } from './paths';
import { localCodes, Problem, problemOf } from './problem';

export type Method = keyof Requests;
export type Params<M extends Method> = Requests[M]['params'];
export type Result<M extends Method> = Requests[M]['result'];
export type Notification = { [N in keyof Notifications]: { method: N; params: Notifications[N] } }[keyof Notifications];

/** How long the daemon may take for the two answers that begin a session. */
const handshakeLimit = 10_000;

/** The revision of the protocol that this extension builds on: the daemon says what can be done. */
const needed = 2;

type Rpc = typeof import('vscode-jsonrpc/node');

const notifications: Record<keyof Notifications, true> = {
  'nixvm/didChange': true,
  'nixvm/serverStatus': true,
  '$/progress': true,
  'window/showMessage': true,
  'window/logMessage': true,
};

/** One session with the daemon, over one connection. */
export class Session {
  private constructor(
    private readonly rpc: Rpc,
    private readonly connection: MessageConnection,
    /** What this daemon offers. */
    readonly capabilities: Capabilities,
    /** Version of the daemon. */
    readonly version: string,
  ) {}

  /**
   * Begins a session; it is up when the daemon has sent the full state. Every
   * notification is passed on in order, the first state too.
   */
  static async open(
    socket: Socket,
    clientInfo: NonNullable<InitializeParams['clientInfo']>,
    heard: (n: Notification) => void,
    closed: () => void,
  ): Promise<Session> {
    // Loaded when it is needed: a window that never talks to a daemon pays nothing.
    const rpc = await import('vscode-jsonrpc/node');
    const connection = rpc.createMessageConnection(new rpc.SocketMessageReader(socket), new rpc.SocketMessageWriter(socket));
    let fail: (problem: Problem) => void = () => {};
    const broken = new Promise<never>((_, reject) => (fail = reject));
    broken.catch(() => {});
    connection.onError(() => {});
    connection.onClose(() => {
      fail(new Problem(localCodes.daemonGone, 'nixvmd ended the connection'));
      connection.dispose();
      closed();
    });
    const timer = setTimeout(
      () => fail(new Problem(problemCodes.daemonUnreachable, 'nixvmd does not answer', { retryable: true })),
      handshakeLimit,
    );
    try {
      const state = new Promise<void>((resolve) => {
        for (const method of Object.keys(notifications) as (keyof Notifications)[]) {
          connection.onNotification(method, (params: unknown) => {
            heard({ method, params } as Notification);
            if (method === 'nixvm/didChange') {
              resolve();
            }
          });
        }
      });
      connection.listen();
      const params: InitializeParams = {
        processId: process.pid,
        clientInfo,
        capabilities: {},
        initializationOptions: { protocolVersions: [protocolVersion], operationLog: true },
      };
      const answer = await Promise.race([connection.sendRequest<Result<'initialize'>>('initialize', params), broken]);
      const { nixvm } = answer.capabilities.experimental;
      if (!(nixvm.revision >= needed)) {
        throw olderThanExtension('the running nixvmd');
      }
      await connection.sendNotification('initialized', {});
      await Promise.race([state, broken]);
      return new Session(rpc, connection, nixvm, answer.serverInfo.version);
    } catch (error) {
      connection.dispose();
      socket.destroy();
      throw error instanceof Problem ? error : requestProblem(rpc, error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Makes a request; aborting the signal cancels it. */
  async request(method: string, params: object, signal?: AbortSignal): Promise<unknown> {
    const source = new this.rpc.CancellationTokenSource();
    const cancel = (): void => source.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      return await this.connection.sendRequest(method, params, source.token);
    } catch (error) {
      throw requestProblem(this.rpc, error);
    } finally {
      signal?.removeEventListener('abort', cancel);
      source.dispose();
    }
  }

  notify(method: string, params: object): void {
    // A connection that is gone has told its owner so already.
    this.connection.sendNotification(method, params).catch(() => {});
  }

  /** Ends the session; the daemon and what it does go on. */
  end(): void {
    this.connection.end();
    this.connection.dispose();
  }
}

/** Tells an error answer of the daemon from a connection that broke meanwhile. */
function requestProblem({ ErrorCodes, ResponseError }: Rpc, error: unknown): Problem {
  const broken: number[] = [ErrorCodes.MessageWriteError, ErrorCodes.MessageReadError, ErrorCodes.PendingResponseRejected, ErrorCodes.ConnectionInactive];
  const answered = error instanceof ResponseError && !broken.includes(error.code);
  return answered
    ? problemOf(error)
    : new Problem(localCodes.daemonGone, 'the connection to nixvmd was lost', { retryable: true });
}
