import type { Disposable } from './emitter';

/**
 * Gathers items and hands them over together, at most once in so many
 * milliseconds: a burst of notifications is one refresh.
 */
export class Coalescer<T> implements Disposable {
  private items = new Set<T>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly milliseconds: number,
    private readonly flush: (items: Set<T>) => void,
  ) {}

  add(...items: T[]): void {
    for (const item of items) {
      this.items.add(item);
    }
    this.timer ??= setTimeout(() => {
      const gathered = this.items;
      this.items = new Set();
      this.timer = undefined;
      this.flush(gathered);
    }, this.milliseconds);
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}
