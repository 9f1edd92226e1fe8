/** Something that ends when it is disposed of; the shape of vscode.Disposable. */
export interface Disposable {
  dispose(): void;
}

/** Subscribes to an event; the shape of vscode.Event. */
export type Event<T> = (listener: (value: T) => void) => Disposable;

/** An event and the way to fire it, for modules that run without VS Code. */
export class Emitter<T> {
  private readonly listeners = new Set<(value: T) => void>();

  readonly event: Event<T> = (listener) => {
    // A wrapper, so that subscribing twice with one function is two subscriptions.
    const entry = (value: T): void => listener(value);
    this.listeners.add(entry);
    return { dispose: () => this.listeners.delete(entry) };
  };

  fire(value: T): void {
    for (const listener of [...this.listeners]) {
      listener(value);
    }
  }
}
