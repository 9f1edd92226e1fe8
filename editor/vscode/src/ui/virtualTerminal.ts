import type { Disposable } from '../util/emitter';

/** A terminal whose other end is this extension, not a process. */
export interface VirtualTerminal {
  /** Begins; output goes to write, the end of it is told by close. */
  open(write: (text: string) => void, close: () => void): Disposable;
  input(text: string): void;
}
