import type { Arguments } from './target';

/** Commands by the part of their id behind "nixvm.". */
export type Commands = Record<string, (...args: Arguments) => Promise<void>>;
