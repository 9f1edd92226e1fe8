import type { DraftParams, Profile } from '../protocol';
import { back, type Answer, type Question, type Ui } from '../ui/ui';
import { complaintOf, fieldOf, type Check } from './draft';

export const profilesPrompt = 'Choose profiles. A VM with an agent cannot reach private networks';

/**
 * Asks for profiles: those that the image can have, the default one too. What
 * the daemon does not take is asked again, with its reason.
 */
export async function askProfiles(ui: Ui, question: Question, all: readonly Profile[], check: Check, draft: DraftParams): Promise<Answer<string[]>> {
  // The mode is asked for later, and what it was must not hide what there is.
  const { choices } = fieldOf(await check({ ...draft, profiles: [], mode: '' }), 'profiles');
  let picked = draft.profiles ?? [];
  let { wrong } = question;
  for (;;) {
    const answer = await ui.pickMany({ ...question, ...(wrong ? { wrong } : {}) }, offered(all, choices, picked));
    if (answer === undefined || answer === back) {
      return answer;
    }
    wrong = complaintOf(await check({ ...draft, profiles: answer }), 'profiles');
    if (!wrong) {
      return answer;
    }
    picked = answer;
  }
}

function offered(all: readonly Profile[], choices: readonly string[] | undefined, picked: readonly string[]) {
  return all
    // An image that does not say what it has may have anything.
    .filter(({ name }) => name !== 'core' && (!choices || choices.includes(name)))
    // Agents first, and each group in one piece.
    .sort((a, b) => Number(b.agent) - Number(a.agent))
    .map((profile) => ({
      label: profile.name,
      description: [
        profile.description,
        profile.requires.length > 0 ? `with ${profile.requires.join(', ')}` : '',
        profile.conflicts?.length ? `not with ${profile.conflicts.join(', ')}` : '',
      ].filter(Boolean).join('; '),
      picked: picked.includes(profile.name),
      value: profile.name,
      group: profile.agent ? 'Agents' : 'Tools',
    }));
}
