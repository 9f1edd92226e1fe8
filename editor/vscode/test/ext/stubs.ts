import { existsSync } from 'node:fs';
import * as vscode from 'vscode';

// The extension and its tests share one vscode module, and nothing of it that is
// replaced here is frozen while tests run.

/** Replaces a member of an API until the function that it returns is called. */
export function replace<T extends object, K extends keyof T>(api: T, name: K, value: T[K]): () => void {
  const before = Object.getOwnPropertyDescriptor(api, name);
  Object.defineProperty(api, name, { value, configurable: true, writable: true });
  return () => {
    if (before) {
      Object.defineProperty(api, name, before);
    }
  };
}

/**
 * Records the calls of some commands of VS Code instead of running them: the
 * web workbench would drop the authority of a remote folder.
 */
export function recordCommands(...names: string[]): { calls: unknown[][]; restore: () => void } {
  const calls: unknown[][] = [];
  const real = vscode.commands.executeCommand;
  const restore = replace(vscode.commands, 'executeCommand', (async (command: string, ...args: unknown[]) => {
    if (names.includes(command)) {
      calls.push(args);
      return undefined;
    }
    return real(command, ...args);
  }) as typeof real);
  return { calls, restore };
}

/** Records the items of the status bar that are made from now on. */
export function recordItems(): { all: vscode.StatusBarItem[]; of(id: string): vscode.StatusBarItem | undefined } {
  const all: vscode.StatusBarItem[] = [];
  const create = vscode.window.createStatusBarItem as (...args: unknown[]) => vscode.StatusBarItem;
  replace(vscode.window, 'createStatusBarItem', ((...args: unknown[]) => {
    const item = create(...args);
    all.push(item);
    return item;
  }) as typeof vscode.window.createStatusBarItem);
  return { all, of: (id) => all.find((item) => item.id.endsWith(id)) };
}

interface Asked {
  kind: 'info' | 'warning' | 'error';
  message: string;
  buttons: string[];
}

/** Records every message, and dismisses it. */
export function recordMessages(): { asked: Asked[]; restore: () => void } {
  const asked: Asked[] = [];
  const kinds = { showInformationMessage: 'info', showWarningMessage: 'warning', showErrorMessage: 'error' } as const;
  const restores = (Object.keys(kinds) as (keyof typeof kinds)[]).map((name) =>
    replace(vscode.window, name, (async (message: string, ...rest: unknown[]) => {
      asked.push({ kind: kinds[name], message, buttons: rest.filter((each) => typeof each === 'string') });
      return undefined;
    }) as never),
  );
  return { asked, restore: () => restores.forEach((each) => each()) };
}

/** Waits until the function returns something; VS Code has no event for most of this. */
export async function eventually<T>(what: string, look: () => T | undefined | false): Promise<T> {
  for (const end = Date.now() + 110_000; Date.now() < end; ) {
    const seen = look();
    if (seen) {
      return seen;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited in vain for ${what}`);
}

/** Lets the driver of the window check it, while the extension runs. */
export async function lookedAt(): Promise<void> {
  console.log('look at this window');
  await eventually('a look at the window', () => existsSync(process.env['NIXVM_TEST_LOOKED'] ?? ''));
}
