import { homedir } from 'node:os';
import * as vscode from 'vscode';
import type { Report } from '../model/operations';
import { withoutLinks } from '../model/words';
import { back, type Answer, type Choice, type Confirmation, type PathQuestion, type Question, type TextQuestion, type Ui } from './ui';

/** The questions and messages of the product. */
export const vscodeUi: Ui = {
  pick: async (question, choices) => {
    const answer = await ask(question, choices, false);
    return Array.isArray(answer) ? answer[0] : answer;
  },
  pickMany: (question, choices) => ask(question, choices, true),
  text: askText,
  path: askPath,
  async confirm({ message, detail, action }: Confirmation) {
    return (await vscode.window.showWarningMessage(message, { modal: true, detail }, action)) === action;
  },
  info: async (message, ...actions) => vscode.window.showInformationMessage(withoutLinks(message), ...actions),
  warn: async (message, ...actions) => vscode.window.showWarningMessage(withoutLinks(message), ...actions),
  error: async (message, ...actions) => vscode.window.showErrorMessage(withoutLinks(message), ...actions),
  busy: async (run) => vscode.window.withProgress({ location: { viewId: 'nixvm.machines' } }, run),
  progress: showProgress,
};

type Item<T> = vscode.QuickPickItem & { choice?: Choice<T> };

function itemsOf<T>(choices: Choice<T>[]): Item<T>[] {
  let group: string | undefined;
  return choices.flatMap((choice) => {
    const separator: Item<T>[] =
      choice.group !== undefined && choice.group !== group ? [{ label: choice.group, kind: vscode.QuickPickItemKind.Separator }] : [];
    group = choice.group;
    const { label, description, detail, icon } = choice;
    return [
      ...separator,
      { label, choice, ...(description ? { description } : {}), ...(detail ? { detail } : {}), ...(icon ? { iconPath: new vscode.ThemeIcon(icon) } : {}) },
    ];
  });
}

function prepare(input: vscode.QuickInput, { title, step, back: goesBack }: Question): void {
  input.title = title;
  input.step = step?.[0];
  input.totalSteps = step?.[1];
  // One may look something up in another window meanwhile.
  input.ignoreFocusOut = true;
  if ('buttons' in input && goesBack) {
    input.buttons = [vscode.QuickInputButtons.Back];
  }
}

function ask<T>(question: Question, choices: Choice<T>[], many: boolean): Promise<Answer<T[]>> {
  return new Promise((resolve) => {
    const input = vscode.window.createQuickPick<Item<T>>();
    prepare(input, question);
    input.placeholder = question.wrong ?? question.prompt;
    if (question.wrong) {
      // A list has no place for a whole sentence.
      void vscode.window.showWarningMessage(withoutLinks(question.wrong));
    }
    input.canSelectMany = many;
    input.matchOnDescription = true;
    input.matchOnDetail = true;
    input.items = itemsOf(choices);
    const picked = input.items.filter((item) => item.choice?.picked);
    if (many) {
      input.selectedItems = picked;
    } else if (picked.length > 0) {
      input.activeItems = picked.slice(0, 1);
    }
    const settle = (answer: Answer<T[]>): void => {
      resolve(answer);
      input.dispose();
    };
    input.onDidTriggerButton((button) => button === vscode.QuickInputButtons.Back && settle(back));
    input.onDidAccept(() => settle(input.selectedItems.flatMap(({ choice }) => (choice ? [choice.value] : []))));
    input.onDidHide(() => settle(undefined));
    input.show();
  });
}

/** Milliseconds without a key before a text is checked. */
const checkDelay = 150;

function askText(question: TextQuestion): Promise<Answer<string>> {
  return new Promise((resolve) => {
    const input = vscode.window.createInputBox();
    prepare(input, question);
    input.prompt = question.prompt;
    input.placeholder = question.placeholder;
    input.value = question.value ?? '';
    input.password = question.secret === true;
    input.validationMessage = question.wrong;
    let open = true;
    let timer: NodeJS.Timeout | undefined;
    const settle = (answer: Answer<string>): void => {
      open = false;
      clearTimeout(timer);
      resolve(answer);
      input.dispose();
    };
    /** Shows what is wrong with the text; undefined if it has changed meanwhile. */
    const check = async (): Promise<boolean | undefined> => {
      const text = input.value;
      const complaint = await question.complaint?.(text);
      if (!open || input.value !== text) {
        return undefined;
      }
      input.validationMessage = complaint;
      return complaint === undefined;
    };
    input.onDidChangeValue(() => {
      clearTimeout(timer);
      input.validationMessage = undefined;
      if (input.value !== '') {
        timer = setTimeout(() => void check(), checkDelay);
      }
    });
    input.onDidTriggerButton((button) => button === vscode.QuickInputButtons.Back && settle(back));
    input.onDidAccept(async () => {
      clearTimeout(timer);
      const text = input.value;
      input.busy = true;
      const good = await check();
      if (good) {
        settle(text);
      } else if (open) {
        input.busy = false;
      }
    });
    input.onDidHide(() => settle(undefined));
    input.show();
  });
}

/** A file of this computer, also from a window that is attached to another: the daemon is here. */
async function askPath({ title, folder }: PathQuestion): Promise<string | undefined> {
  const chosen = await vscode.window.showOpenDialog({
    title,
    openLabel: folder ? 'Select Folder' : 'Select',
    canSelectFiles: !folder,
    canSelectFolders: folder,
    defaultUri: vscode.Uri.file(homedir()),
  });
  const uri = chosen?.[0];
  if (uri && uri.scheme !== 'file') {
    void vscode.window.showErrorMessage(`nixvmd works with files of this computer, and ${withoutLinks(uri.toString())} is elsewhere.`);
    return undefined;
  }
  return uri?.fsPath;
}

async function showProgress<T>(title: string, run: (report: (r: Report) => void, signal: AbortSignal) => Promise<T>): Promise<T> {
  const options = { location: vscode.ProgressLocation.Notification, title, cancellable: true };
  return vscode.window.withProgress(options, (progress, token) => {
    const controller = new AbortController();
    token.onCancellationRequested(() => {
      progress.report({ message: 'cancelling' });
      controller.abort();
    });
    let reached = 0;
    return run(({ message, percentage }) => {
      // VS Code wants to know how much is added.
      const increment = percentage === undefined ? 0 : Math.max(0, percentage - reached);
      reached += increment;
      progress.report({ ...(message === undefined ? {} : { message: withoutLinks(message) }), ...(increment > 0 ? { increment } : {}) });
    }, controller.signal);
  });
}
