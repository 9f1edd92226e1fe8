import type { ErrorData } from '../protocol';
import { inEditorWords } from './hints';

/** Codes of problems that arise on this side; the daemon's are in protocol.ts. */
export const localCodes = {
  /** the connection was lost while a request waited */
  daemonGone: 'daemon.gone',
  /** there is no program nixvmd */
  noProgram: 'daemon.no_program',
  /** this platform has no nixvmd */
  noPlatform: 'daemon.no_platform',
} as const;

/** Something that went wrong, with what to do about it. */
export class Problem extends Error {
  readonly hint: string | undefined;
  readonly retryable: boolean;
  readonly operation: string | undefined;

  constructor(
    /** A dotted word, e.g. "vm.busy". */
    readonly code: string,
    message: string,
    more: { hint?: string | undefined; retryable?: boolean; operation?: string | undefined } = {},
  ) {
    super(message);
    this.name = 'Problem';
    this.hint = more.hint || undefined;
    this.retryable = more.retryable ?? false;
    this.operation = more.operation;
  }
}

function dataOf(error: object): ErrorData | undefined {
  const data: unknown = 'data' in error ? error.data : undefined;
  if (typeof data === 'object' && data !== null && 'code' in data && typeof data.code === 'string') {
    return data as ErrorData;
  }
  return undefined;
}

/** Converts anything that was thrown, such as an error answer of the daemon, to a Problem. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) {
    return error;
  }
  if (typeof error !== 'object' || error === null) {
    return new Problem('internal', String(error));
  }
  const message = 'message' in error && typeof error.message === 'string' ? error.message : 'unknown error';
  const data = dataOf(error);
  return new Problem(data?.code ?? 'internal', message, data);
}

/** A problem that the daemon sent within other values. */
export function problemText(data: ErrorData): string {
  return withHint(data.message ?? data.code, data.hint);
}

/** What to show about what happened while doing something. */
export function describe(error: unknown, doing?: string): string {
  const problem = problemOf(error);
  const text = withHint(problem.message, problem.hint);
  return doing ? `${doing}: ${text}` : text;
}

function withHint(message: string, hint: string | undefined): string {
  // The hint may begin with a name: it stays as it is.
  return hint ? `${message.replace(/\.$/, '')}. Hint: ${inEditorWords(hint)}` : message;
}
