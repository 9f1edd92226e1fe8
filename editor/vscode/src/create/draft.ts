import type { App } from '../app';
import { problemText } from '../daemon/problem';
import type { DraftField, DraftParams, DraftResult } from '../protocol';

/** Asks the daemon what it makes of a request before it is made. */
export type Check = (draft: DraftParams) => Promise<DraftResult>;

/** What is wrong with one field. */
export interface Wrong {
  field: string;
  message: string;
}

/** The rules of the connected daemon. */
export async function checkOf(app: App): Promise<Check> {
  await app.client.connect();
  return (draft) => app.client.request('nixvm/machine/check', draft);
}

/** A name for a new machine that is free, made of a text; the daemon has the rules. */
export const suggested = async (check: Check, text: string | undefined): Promise<string> =>
  (await check({ suggest: text || 'agent' })).suggestion ?? '';

/** What the daemon makes of a field; nothing is known of one that it does not have. */
export const fieldOf = (checked: DraftResult, field: string): DraftField => checked.fields[field] ?? { ok: true };

/** What is wrong with a field, in a sentence. */
export function complaintOf(checked: DraftResult, field: string): string | undefined {
  const { problem } = fieldOf(checked, field);
  return problem && problemText(problem);
}

/** A complaint for a text question: what the daemon says against the draft with that text. */
export const complains =
  (check: Check, field: keyof DraftParams, draft: (typed: string) => DraftParams) =>
  async (typed: string): Promise<string | undefined> => {
    try {
      return complaintOf(await check(draft(typed)), field);
    } catch {
      // Without an answer nothing is known against it: the request itself says more.
      return undefined;
    }
  };

/** Everything that is wrong with a draft. */
export const wrongsIn = (checked: DraftResult): Wrong[] =>
  Object.keys(checked.fields).flatMap((field) => {
    const message = complaintOf(checked, field);
    return message === undefined ? [] : [{ field, message }];
  });
