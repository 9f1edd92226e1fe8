import { connect, type Socket } from 'node:net';
import type { Backend, CreateDefaults, Verb } from '../protocol';
import { problemCodes } from '../protocol';
import { Emitter, type Disposable } from '../util/emitter';
import { localCodes, Problem, problemOf } from './problem';
import { Session, type Method, type Notification, type Params, type Result } from './session';

export interface ClientOptions {
  /** Who asks; operations remember it. */
  clientInfo: { name: string; version: string };
  /** Where the daemon listens, or would. */
  socketPath(): Promise<string>;
  /** Starts the daemon, or says why it cannot; undefined when the user does not want that. */
  launch(): (() => Promise<void>) | undefined;
  /** Milliseconds; a connection that was up for less does not come back by itself. */
  stableAfter?: number;
}

/** How it stands with the connection; problem is why the last attempt failed. */
export interface Status {
  phase: 'idle' | 'connecting' | 'connected' | 'failed';
  problem?: Problem;
}

/** A daemon that dies or restarts closes its connections before its socket. */
const attempts = 4;
const attemptDelay = 200;
/** A daemon that was up for less is not started over and over. */
const defaultStableAfter = 3000;

/**
 * The connection to the daemon: opened when it is needed, and again when it
 * was lost and is still needed. A daemon that is not running is started.
 */
export class Client implements Disposable {
  private session: Session | undefined;
  private connecting: Promise<Session> | undefined;
  private known: readonly Backend[] = [];
  private lastVerbs: readonly Verb[] = [];
  private ended = false;
  private readonly wants = new Set<() => boolean>();
  private readonly statusEmitter = new Emitter<Status>();
  private readonly notificationEmitter = new Emitter<Notification>();
  private current: Status = { phase: 'idle' };

  readonly onStatus = this.statusEmitter.event;
  readonly onNotification = this.notificationEmitter.event;

  constructor(private readonly options: ClientOptions) {}

  get status(): Status {
    return this.current;
  }

  /** The methods of the daemon; undefined while not connected. */
  get methods(): readonly string[] | undefined {
    return this.session?.capabilities.methods;
  }

  /** What can be done with machines; nothing is known of that before the first session. */
  get verbs(): readonly Verb[] {
    return this.lastVerbs;
  }

  /** The backends as the daemon has announced them last. */
  get backends(): readonly Backend[] {
    return this.session ? this.known : [];
  }

  /** Asks for the backends anew: one that did not answer may do so now. */
  async refreshBackends(): Promise<readonly Backend[]> {
    const silent = this.backends.filter(({ problem }) => problem);
    await Promise.all(silent.map(({ name }) => this.request('nixvm/backend/check', { name })));
    this.known = (await this.request('nixvm/backend/list', {})).backends;
    return this.known;
  }

  /** The SSH configuration that the daemon writes, if it has said so. */
  get sshConfigFile(): string | undefined {
    return this.session?.capabilities.sshConfigFile;
  }

  /** What a create takes when it is not told. */
  get defaults(): CreateDefaults | undefined {
    return this.session?.capabilities.defaults;
  }

  /** Keeps a lost connection coming back for as long as the function says true. */
  wanted(by: () => boolean): Disposable {
    this.wants.add(by);
    return { dispose: () => this.wants.delete(by) };
  }

  /** Returns the session, connecting and starting the daemon if need be. */
  connect(): Promise<Session> {
    if (this.session) {
      return Promise.resolve(this.session);
    }
    this.connecting ??= this.attempt().finally(() => (this.connecting = undefined));
    return this.connecting;
  }

  async request<M extends Method>(method: M, params: Params<M>, signal?: AbortSignal): Promise<Result<M>> {
    return (await this.requestAny(method, params, signal)) as Result<M>;
  }

  /** A request that this extension does not know: a newer daemon may answer it. */
  async requestAny(method: string, params: object, signal?: AbortSignal): Promise<unknown> {
    const session = await this.connect();
    return session.request(method, params, signal);
  }

  notify(method: string, params: object): void {
    this.session?.notify(method, params);
  }

  dispose(): void {
    this.ended = true;
    this.session?.end();
    this.session = undefined;
  }

  private async attempt(): Promise<Session> {
    this.become({ phase: 'connecting' });
    try {
      for (let n = 1; ; n++) {
        try {
          return await this.open();
        } catch (error) {
          const cutOff = problemOf(error).code === localCodes.daemonGone;
          if (!cutOff || n === attempts || this.ended) {
            throw error;
          }
          await new Promise((resolve) => setTimeout(resolve, n * attemptDelay));
        }
      }
    } catch (error) {
      const problem = problemOf(error);
      this.become({ phase: 'failed', problem });
      throw problem;
    }
  }

  private async open(): Promise<Session> {
    const path = await this.options.socketPath();
    const socket = await dial(path).catch(async (error: NodeJS.ErrnoException) => {
      const launch = this.options.launch();
      if (!launch) {
        throw new Problem(problemCodes.daemonUnreachable, `no nixvmd answers at ${path} (${error.code ?? error.message})`, {
          hint: 'start it: nixvmd serve',
        });
      }
      await launch();
      return dial(path).catch((again: Error) => {
        throw new Problem(problemCodes.daemonUnreachable, `nixvmd was started, but does not answer at ${path}: ${again.message}`, {
          hint: 'check the setting nixvm.socket',
        });
      });
    });
    let up = 0;
    let announced: readonly Backend[] | undefined; // with the state, or since
    const session: Session = await Session.open(
      socket,
      this.options.clientInfo,
      (n) => {
        if (n.method === 'nixvm/didChange' && n.params.backends) {
          announced = this.known = n.params.backends;
        }
        this.notificationEmitter.fire(n);
      },
      () => up > 0 && this.lost(session, performance.now() - up),
    );
    if (this.ended) {
      session.end();
      throw new Problem(localCodes.daemonGone, 'NixVM is shutting down');
    }
    up = performance.now();
    this.session = session;
    this.known = announced ?? session.capabilities.backends;
    this.lastVerbs = session.capabilities.verbs;
    this.become({ phase: 'connected' });
    return session;
  }

  private lost(session: Session, age: number): void {
    if (this.session !== session || this.ended) {
      return;
    }
    this.session = undefined;
    const again = age >= (this.options.stableAfter ?? defaultStableAfter) && [...this.wants].some((wanted) => wanted());
    const code = again ? localCodes.daemonGone : problemCodes.daemonUnreachable;
    this.become({ phase: 'failed', problem: new Problem(code, 'the connection to nixvmd was lost') });
    if (again) {
      // Listeners of the status learn of a failure from it.
      this.connect().catch(() => {});
    }
  }

  private become(status: Status): void {
    this.current = status;
    this.statusEmitter.fire(status);
  }
}

function dial(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}
