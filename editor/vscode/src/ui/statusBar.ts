import * as vscode from 'vscode';
import { offerOf, type App } from '../app';
import { stateOf } from '../model/machine';
import { can, type VerbName } from '../model/verbs';
import { progressText } from '../model/words';
import { machineFacts } from '../tree/present';
import { factsMarkdown } from '../tree/provider';

/**
 * The VM that this window is attached to: its state, with snapshot and restore
 * one click away.
 */
export function statusBar(app: App, host: string): vscode.Disposable {
  const item = (priority: number, id: string, name: string): vscode.StatusBarItem => {
    const created = vscode.window.createStatusBarItem(`nixvm.${id}`, vscode.StatusBarAlignment.Left, priority);
    created.name = name;
    return created;
  };
  const state = item(12, 'state', 'NixVM: State');
  const buttons: [vscode.StatusBarItem, VerbName][] = [
    [item(11, 'snapshot', 'NixVM: Take Snapshot'), 'snapshot'],
    [item(10, 'restore', 'NixVM: Restore Snapshot'), 'restore'],
  ];
  const show = (): void => {
    const machine = app.store.machineOfHost(host);
    const operation = machine && app.store.operationOn(machine);
    const { stale } = offerOf(app);
    const word = stale ? 'nixvmd is not connected' : machine ? stateOf(machine) : app.client.status.phase === 'connected' ? 'gone' : 'unknown';
    const well = stale || ['running', 'booting', 'unknown'].includes(word);
    state.text = operation && !stale ? `$(sync~spin) ${host}: ${progressText(operation)}` : `$(vm) ${host}${word === 'running' ? '' : `: ${word}`}`;
    state.backgroundColor = well || operation ? undefined : new vscode.ThemeColor('statusBarItem.warningBackground');
    state.accessibilityInformation = { label: `NixVM: ${host}, ${operation && !stale ? progressText(operation) : word}`, role: 'button' };
    state.tooltip = machine ? factsMarkdown(machineFacts(machine, operation, stale)) : `nixvm has no further information about ${host}`;
    state.command = machine && !stale ? { command: 'nixvm.menu', title: 'Actions', arguments: [machine.name] } : 'nixvm.connect';
    state.show();
    for (const [button, verb] of buttons) {
      if (machine && can(verb, machine, offerOf(app))) {
        button.text = verb === 'snapshot' ? '$(device-camera)' : '$(history)';
        button.tooltip = verb === 'snapshot' ? `Take a snapshot of ${machine.name}` : `Restore a snapshot of ${machine.name}`;
        button.accessibilityInformation = { label: button.tooltip, role: 'button' };
        button.command = { command: `nixvm.${verb}`, title: button.tooltip, arguments: [machine.name] };
        button.show();
      } else {
        button.hide();
      }
    }
  };
  show();
  const subscriptions = [app.store.onChange(show), app.client.onStatus(show), app.client.wanted(() => true)];
  return vscode.Disposable.from(...subscriptions, state, ...buttons.map(([button]) => button));
}
