import * as vscode from 'vscode';
import { offerOf, type App } from '../app';
import { pendingText } from '../model/words';
import { Coalescer } from '../util/coalesce';
import { Children } from './children';
import type { Node } from './nodes';
import { actionRow, factRow, forwardRow, groupRow, machineFacts, machineRow, pendingRow, snapshotFacts, snapshotRow, unresolvedFacts, unresolvedRow, type Row } from './present';

/** Everything below this name is the list itself. */
const list: unique symbol = Symbol('list');

/** The machines, live: a change redraws the rows that it touches, soon and once. */
export class MachineTree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  private readonly emitter = new vscode.EventEmitter<Node[] | undefined>();
  private readonly children: Children;
  private readonly changes: Coalescer<string | typeof list>;
  private readonly subscriptions: { dispose(): void }[];

  readonly onDidChangeTreeData = this.emitter.event;

  constructor(private readonly app: App) {
    this.children = new Children(app.client, app.store);
    this.changes = new Coalescer(20, (names) => this.redraw(names));
    this.subscriptions = [
      app.store.onChange((change) => {
        this.children.forget(change);
        this.changes.add(...change.machines);
        if (change.listed) {
          this.changes.add(list);
        }
      }),
      app.forwardsChanged.event((name) => {
        this.children.forgetForwards(name);
        this.changes.add(name);
      }),
      app.client.onStatus(() => this.changes.add(list)),
    ];
  }

  getChildren(node?: Node): Node[] | Promise<Node[]> {
    return node ? this.children.of(node) : this.children.roots();
  }

  getParent(node: Node): Node | undefined {
    return node.kind === 'machine' || !this.app.store.machine(node.machine) ? undefined : this.children.machine(node.machine);
  }

  getTreeItem(node: Node): vscode.TreeItem {
    const row = this.row(node);
    const item = new vscode.TreeItem(row.label, row.expands ? vscode.TreeItemCollapsibleState.Collapsed : vscode.TreeItemCollapsibleState.None);
    item.id = row.id;
    item.description = row.description;
    item.iconPath = new vscode.ThemeIcon(row.icon, row.color ? new vscode.ThemeColor(row.color) : undefined);
    item.contextValue = row.context;
    if (row.command) {
      item.command = { command: row.command, title: row.label };
    }
    if (row.accessible) {
      item.accessibilityInformation = { label: row.accessible };
    }
    return item;
  }

  resolveTreeItem(item: vscode.TreeItem, node: Node): vscode.TreeItem {
    const machine = this.app.store.machine(node.machine);
    if (node.kind === 'machine' && machine) {
      item.tooltip = factsMarkdown(machineFacts(machine, this.app.store.operationOn(machine), offerOf(this.app).stale));
    }
    if (node.kind === 'unresolved') {
      item.tooltip = factsMarkdown(unresolvedFacts(node.operation));
    }
    if (node.kind === 'pending' && machine) {
      item.tooltip = pendingText(machine);
    }
    if (node.kind === 'snapshot') {
      item.tooltip = factsMarkdown(snapshotFacts(node.snapshot));
    }
    return item;
  }

  dispose(): void {
    this.changes.dispose();
    this.subscriptions.forEach((subscription) => subscription.dispose());
    this.emitter.dispose();
  }

  private redraw(names: Set<string | typeof list>): void {
    const whole = names.has(list);
    this.emitter.fire(whole ? undefined : [...names].map((name) => this.children.machine(name as string)));
  }

  private row(node: Node): Row {
    const machine = this.app.store.machine(node.machine);
    const offer = offerOf(this.app);
    switch (node.kind) {
      case 'machine':
        return machine
          ? machineRow(machine, this.app.store.operationOn(machine), offer)
          : factRow({ kind: 'fact', machine: node.machine, label: node.machine, text: 'gone', icon: 'dash' });
      case 'snapshot':
        return snapshotRow(node, machine, offer);
      case 'forward':
        return forwardRow(node);
      case 'fact':
        return factRow(node);
      case 'unresolved':
        return unresolvedRow(node, machine !== undefined, offer);
      case 'pending':
        return pendingRow(node, machine, offer);
      case 'action':
        return actionRow(node);
      default:
        return groupRow(node, machine, offer);
    }
  }
}

/** A table of facts. Values may come from a guest: they are text, nothing else. */
export function factsMarkdown(facts: [label: string, value: string][]): vscode.MarkdownString {
  const markdown = new vscode.MarkdownString();
  for (const [label, value] of facts) {
    markdown.appendMarkdown(`**${label}** `).appendText(value).appendMarkdown('  \n');
  }
  return markdown;
}
