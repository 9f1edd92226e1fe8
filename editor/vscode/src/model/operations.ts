import type { Client } from '../daemon/client';
import { localCodes, problemOf, type Problem } from '../daemon/problem';
import type { OperationResult, ProgressParams } from '../protocol';
import type { Disposable } from '../util/emitter';

/** How far an operation is, for people. */
export interface Report {
  message?: string;
  percentage?: number;
}

interface Work {
  token: string;
  id?: string;
  signal: AbortSignal;
  report(report: Report): void;
  resolve(result: OperationResult): void;
  reject(problem: Problem): void;
}

/**
 * Operations that this window has asked for. They belong to the daemon and go
 * on without us; one whose connection was lost is followed again.
 */
export class Operations implements Disposable {
  private readonly works = new Set<Work>();
  private readonly subscriptions: Disposable[];
  private last = 0;

  constructor(
    private readonly client: Client,
    private readonly prefix = `vscode-${process.pid}`,
  ) {
    this.subscriptions = [
      client.wanted(() => this.works.size > 0),
      client.onNotification((n) => n.method === '$/progress' && this.progress(n.params)),
      client.onStatus((status) => {
        if (status.phase === 'connected') {
          this.followAgain();
        } else if (status.phase === 'failed' && status.problem?.code !== localCodes.daemonGone) {
          this.giveUp(status.problem);
        }
      }),
    ];
  }

  /**
   * Begins an operation and returns when it has ended. Aborting the signal
   * cancels the operation, which then ends with a problem of its own.
   */
  begin(method: string, params: object, report: (r: Report) => void, signal: AbortSignal): Promise<OperationResult> {
    const token = `${this.prefix}-${++this.last}`;
    return new Promise((resolve, reject) => {
      const work: Work = { token, signal, report, resolve, reject };
      this.works.add(work);
      // Before it has an id the request is what can be cancelled.
      const request = new AbortController();
      signal.addEventListener('abort', () => (work.id ? this.cancel(work) : request.abort()));
      this.ask(work, method, { ...params, workDoneToken: token }, request.signal);
    });
  }

  dispose(): void {
    this.subscriptions.forEach((subscription) => subscription.dispose());
    this.works.clear();
  }

  private ask(work: Work, method: string, params: object, signal?: AbortSignal): void {
    this.client.requestAny(method, params, signal).then(
      (result) => this.end(work, () => work.resolve(result as OperationResult)),
      (error: unknown) => {
        const problem = problemOf(error);
        const onlyLost = problem.code === localCodes.daemonGone && work.id !== undefined;
        if (!onlyLost) {
          this.end(work, () => work.reject(problem));
        }
      },
    );
  }

  private end(work: Work, settle: () => void): void {
    if (this.works.delete(work)) {
      settle();
    }
  }

  private cancel(work: Work): void {
    this.client.notify('window/workDoneProgress/cancel', { token: work.token });
  }

  private followAgain(): void {
    for (const work of this.works) {
      if (work.id) {
        this.ask(work, 'nixvm/operation/subscribe', { id: work.id, workDoneToken: work.token });
        if (work.signal.aborted) {
          this.cancel(work);
        }
      }
    }
  }

  private giveUp(problem: Problem | undefined): void {
    for (const work of [...this.works].filter((each) => each.id)) {
      this.end(work, () => work.reject(problem ?? problemOf(undefined)));
    }
  }

  private progress({ token, value }: ProgressParams): void {
    const work = [...this.works].find((each) => each.token === token);
    if (!work) {
      return;
    }
    if (value.operation) {
      work.id = value.operation;
    }
    work.report({
      ...(value.message === undefined ? {} : { message: value.message }),
      ...(value.percentage === undefined ? {} : { percentage: value.percentage }),
    });
  }
}
