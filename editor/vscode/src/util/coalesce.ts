import type { Disposable } from './emitter';

/**
 * Gathers items and hands them over together, at most once in so many
 * milliseconds: a burst of notifications is one or two refreshes, and a single
 * one does not wait.
 */
export class Coalescer<T> implements Disposable {
  private items = new Set<T>();
  private timer: NodeJS.Timeout | undefined;
  private flushed = -Infinity;

  constructor(
    private readonly milliseconds: number,
    private readonly flush: (items: Set<T>) => void,
  ) {}

  add(...items: T[]): void {
    for (const item of items) {
      this.items.add(item);
    }
    const wait = Math.max(0, this.flushed + this.milliseconds - performance.now());
    this.timer ??= setTimeout(() => {
      this.flushed = performance.now();
      const gathered = this.items;
      this.items = new Set();
      this.timer = undefined;
      this.flush(gathered);
    }, wait);
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}
