import type { CreateDefaults, ImageBuildParams, Profile } from '../protocol';
import { back, type Ui } from '../ui/ui';
import { meaningful, profilesText, type Answers } from './answers';
import { byConfig, image, mode } from './details';
import { askHub } from './hub';
import { askProfiles, profilesPrompt } from './wizard';

const title = 'Build an image';

/** Asks what shall be in an image, then shows what would be built. */
export async function askImage(ui: Ui, profiles: readonly Profile[], last: Answers, defaults: CreateDefaults | undefined): Promise<ImageBuildParams | undefined> {
  // A file or URL is an image already.
  let answers: Answers = { profiles: last.profiles ?? [], mode: last.mode ?? '', image: ['nixos', 'trial'].includes(last.image ?? '') ? (last.image ?? '') : '' };
  const details = [image(byConfig(defaults)), mode(byConfig(defaults))];
  for (;;) {
    const chosen = await askProfiles(ui, { title, step: [1, 2], prompt: profilesPrompt }, profiles, answers);
    if (chosen === undefined || chosen === back) {
      return undefined;
    }
    const { way, answers: now } = await askHub(
      ui,
      {
        question: { title, step: [2, 2], back: true, prompt: 'Enter builds it; everything below can be changed first' },
        make: (be) => ({ label: 'Build the image', description: profilesText(be, defaults), detail: details.map((detail) => detail.text(be)).join(', ') }),
        details: () => details,
      },
      { ...answers, profiles: chosen },
    );
    if (way !== back) {
      return way && meaningful(now);
    }
    answers = now;
  }
}
