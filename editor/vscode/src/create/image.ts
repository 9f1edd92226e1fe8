import type { DraftParams, ImageBuildParams, Profile } from '../protocol';
import { back, type Ui } from '../ui/ui';
import { meaningful, profilesText, type Answers } from './answers';
import { byConfig, image, mode, type Asking } from './details';
import type { Check, Wrong } from './draft';
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
