import * as vscode from 'vscode';
import { offerOf, type App } from '../app';
import { impossible } from '../model/verbs';

/**
 * Tells the palette which commands cannot do anything with this daemon and its
 * backends: nixvm.without.migrate. Before there is a daemon to ask, all are there.
 */
export function offerContexts(app: App): vscode.Disposable {
  let told = new Set<string>();
  const tell = (): void => {
    const now = new Set(app.client.methods ? impossible(offerOf(app)) : told);
    for (const name of [...told, ...now].filter((each) => now.has(each) !== told.has(each))) {
      void vscode.commands.executeCommand('setContext', `nixvm.without.${name}`, now.has(name));
    }
    told = now;
  };
  // Backends that are asked for anew are followed by a state that is told anew.
  return vscode.Disposable.from(app.client.onStatus(tell), app.store.onChange(tell));
}
