import type { App } from './app';
import { inEditorWords } from './daemon/hints';
import { describe } from './daemon/problem';
import type { MessageParams } from './protocol';

/** Writes down what the daemon says, and shows what a person should read. */
export function listenToDaemon(app: App): { dispose(): void }[] {
  return [
    app.client.onNotification((n) => {
      switch (n.method) {
        case 'nixvm/didChange':
          return app.store.apply(n.params);
        case 'window/showMessage':
          return showMessage(app, n.params);
        case 'window/logMessage':
          return log(app, n.params.type, operationLine(app, n.params));
        case 'nixvm/serverStatus':
          return n.params.message ? app.log.warn(`nixvmd: ${n.params.message}`) : undefined;
        default:
          return undefined;
      }
    }),
    app.client.onStatus(({ phase, problem }) =>
      problem ? app.log.warn(describe(problem)) : app.log.info(`connection to nixvmd: ${phase}`),
    ),
  ];
}

/** A line of a tool that an operation runs: untrusted text, which is only written down. */
function operationLine(app: App, { operation, vertex, message }: MessageParams): string {
  const known = operation ? app.store.operation(operation) : undefined;
  const where = [known?.machine, known?.kind, vertex].filter(Boolean).join(' ');
  return where ? `${where}: ${message}` : message;
}

function log(app: App, type: number, line: string): void {
  if (type === 1) {
    app.log.error(line);
  } else if (type === 2) {
    app.log.warn(line);
  } else {
    app.log.info(line);
  }
}

function showMessage(app: App, { type, message }: MessageParams): void {
  log(app, type, message);
  const show = type === 1 ? app.ui.error : type === 2 ? app.ui.warn : app.ui.info;
  void show(inEditorWords(message), 'Show Log').then((chosen) => chosen && app.log.show());
}
