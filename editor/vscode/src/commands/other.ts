import { answered, offerOf, operate, type App } from '../app';
import { otherVerbs } from '../daemon/offered';
import { Problem, problemOf } from '../daemon/problem';
import { checkOf, fieldOf } from '../create/draft';
import { problemCodes, type Verb } from '../protocol';
import type { Commands } from './commands';
import { confirmByName } from './destroy';
import { target, type Arguments } from './target';

/**
 * What a newer daemon can do and this extension has no command for: resize,
 * backup. What an operation still needs is asked for, going by
 * the complaint of the daemon.
 */
async function other(app: App, args: Arguments): Promise<void> {
  const machine = await target(app, args, 'openFiles', 'Other operations on a machine');
  const { name } = machine;
  const verbs = otherVerbs(offerOf(app), machine);
  if (verbs.length === 0) {
    throw new Problem(problemCodes.method, `this nixvmd offers no other operations on ${name} now`);
  }
  const verb = answered(
    await app.ui.pick(
      { title: `Operations on ${name}` },
      verbs.map((each) => ({ label: each.title, description: each.key, value: each })),
    ),
  );
  await run(app, name, verb);
}

async function run(app: App, name: string, verb: Verb): Promise<void> {
  const title = `${verb.title} ${name}`;
  const params: Record<string, unknown> = { name };
  for (;;) {
    try {
      await operate(app, title, verb.method, params);
      return;
    } catch (error) {
      const missing = missingIn(problemOf(error).code, problemOf(error).message, params);
      if (!missing) {
        throw error;
      }
      if (missing.field === 'confirm') {
        await confirmByName(app, name, verb.title, 'nixvmd asks for a confirmation of this operation.');
        params['confirm'] = name;
      } else {
        const text = answered(await app.ui.text({ title, prompt: missing.prompt, complaint: (t) => refused(app, missing, t) }));
        params[missing.field] = missing.number ? await numberOf(app, missing.field, text) : text.trim();
      }
    }
  }
}

interface Missing {
  field: string;
  prompt: string;
  number: boolean;
}

/** What the daemon misses, going by its complaint. */
export function missingIn(code: string, message: string, sent: Record<string, unknown>): Missing | undefined {
  if (code === problemCodes.confirmRequired && !('confirm' in sent)) {
    return { field: 'confirm', prompt: '', number: false };
  }
  if (code !== problemCodes.badParams) {
    return undefined;
  }
  const [, required] = /^([A-Za-z]+): is required/.exec(message) ?? [];
  if (required && !(required in sent)) {
    return { field: required, prompt: required, number: false };
  }
  const [, integer] = /^([A-Za-z]+): must be an integer/.exec(message) ?? [];
  if (integer && typeof sent[integer] !== 'number') {
    return { field: integer, prompt: `${integer}, a number or a size such as 20G`, number: true };
  }
  return undefined;
}

async function refused(app: App, { field, number }: Missing, text: string): Promise<string | undefined> {
  if (!text.trim()) {
    return 'A value is required.';
  }
  return number && Number.isNaN(await numberOf(app, field, text)) ? 'A number, or a size such as 20G' : undefined;
}

/** The number behind a text; sizes are read by the daemon, as everywhere. */
async function numberOf(app: App, field: string, text: string): Promise<number> {
  const size = /Bytes$/i.test(field) ? 'diskBytes' : field.endsWith('MiB') ? 'memoryMiB' : undefined;
  if (!size || (size === 'diskBytes' && /^\s*\d+\s*$/.test(text))) {
    return Number(text);
  }
  const check = await checkOf(app);
  return fieldOf(await check({ [size]: text }), size).number ?? NaN;
}

export const otherCommands = (app: App): Commands => ({ otherOperation: (...args) => other(app, args) });
