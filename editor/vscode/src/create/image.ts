import type { DraftParams, ImageBuildParams, Machine, Profile } from '../protocol';
import { back, type Answer, type Ui } from '../ui/ui';
import { meaningful, profilesText, type Answers } from './answers';
import { byConfig, image, meanings, mode, type Asking } from './details';
import { complains, fieldOf, type Check, type Wrong } from './draft';
import { askHub, saying } from './hub';
import { askProfiles, profilesPrompt } from './profiles';

const title = 'Build an image';

const draft = ({ profiles, mode: kept, image: kind }: Answers): DraftParams => ({ for: 'image', ...meaningful({ profiles, mode: kept, image: kind }) }) as DraftParams;

/** Asks what shall be in an image, then shows what would be built. */
export async function askImage(ui: Ui, profiles: readonly Profile[], last: Answers, check: Check): Promise<ImageBuildParams | undefined> {
  // A file or URL is an image already.
  const built = last.image && !last.image.includes('/') ? { image: last.image } : {};
  let answers: Answers = { profiles: last.profiles ?? [], ...(last.mode ? { mode: last.mode } : {}), ...built };
  const asking: Asking<Answers> = { check, draft, ...byConfig };
  const details = [image(asking), mode(asking)];
  let wrong: Wrong | undefined;
  for (;;) {
    const question = { title, step: [1, 2] as [number, number], prompt: profilesPrompt, ...saying(wrong) };
    const chosen = await askProfiles(ui, question, profiles, check, draft(answers));
    if (chosen === undefined || chosen === back) {
      return undefined;
    }
    const left = await askHub(
      ui,
      {
        question: { title, step: [2, 2], back: true, prompt: 'Press Enter to build it, or change its settings below first' },
        before: ['profiles'],
        check: (now) => check(draft(now)),
        make: (be, checked) => ({ label: 'Build the image', description: profilesText(be, checked), detail: details.map((detail) => detail.text(be, checked)).join(', ') }),
        details: () => details,
      },
      { ...answers, profiles: chosen },
    );
    if (left.way !== back) {
      return left.way && meaningful(left.answers);
    }
    ({ answers, wrong } = { wrong: undefined, ...left });
  }
}

/** Asks for the image that a machine shall have: a kind, a file of this computer, or what is typed. */
export async function askImageOf(ui: Ui, question: string, { mode: kept, profiles }: Machine, check: Check): Promise<Answer<string>> {
  const withImage = (kind: string): DraftParams => ({ for: 'image', image: kind, mode: kept, profiles });
  const { choices = [] } = fieldOf(await check(withImage('')), 'image');
  const chosen = await ui.pick({ title: question, prompt: 'Which image?' }, [
    ...choices.map((choice) => ({ label: choice, description: meanings[choice] ?? '', icon: 'package', value: choice })),
    { label: 'Image File...', description: 'an image.json of this computer', icon: 'file', value: 'file' },
    { label: 'Type a Path or a URL...', description: 'URL#sha256=HEX', icon: 'edit', value: 'typed' },
  ]);
  if (chosen === 'file') {
    return ui.path({ title: `${question}: image`, folder: false });
  }
  if (chosen !== 'typed') {
    return chosen;
  }
  const typed = await ui.text({
    title: question,
    prompt: 'Path of an image.json, or URL#sha256=HEX',
    complaint: complains(check, 'image', (text) => ({ ...withImage(text.trim()), for: 'create' })),
  });
  return typeof typed === 'string' ? typed.trim() : typed;
}
