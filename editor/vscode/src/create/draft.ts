import { offerOf, type App } from '../app';
import { hasMethod } from '../daemon/offered';
import { Problem, problemText } from '../daemon/problem';
import { problemCodes, type DraftField, type DraftParams, type DraftResult } from '../protocol';

/** Asks the daemon what it makes of a request before it is made. */
export type Check = (draft: DraftParams) => Promise<DraftResult>;

/** What is wrong with one field. */
export interface Wrong {
  field: string;
  message: string;
}

/** The rules of the connected daemon; an older one has none to ask for. */
export async function checkOf(app: App): Promise<Check> {
  await app.client.connect();
  const method = 'nixvm/machine/check';
  if (!hasMethod(offerOf(app), method)) {
    throw new Problem(problemCodes.method, 'the nixvmd that runs is older than this extension', {
      hint: 'update nixvmd, and end the one that runs with nixvmd shutdown; the VMs go on',
    });
  }
  return (draft) => app.client.request(method, draft);
}

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
