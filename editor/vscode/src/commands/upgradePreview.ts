import { answered, type App } from '../app';
import { count } from '../model/words';
import type { ImageRef, PackageChange, UpgradePreview } from '../protocol';
import type { Choice } from '../ui/ui';

/** Shows what an upgrade of a machine would do; returns whether to do it. */
export async function preview(app: App, name: string): Promise<boolean> {
  const seen = await app.ui.progress(`Preview the upgrade of ${name}`, (_, signal) => app.client.request('nixvm/upgrade/preview', { name }, signal));
  if (seen.same) {
    void app.ui.info(`${name} already has the image ${seen.current.id ?? ''}: an upgrade would change nothing.`);
    return false;
  }
  return answered(
    await app.ui.pick({ title: `Upgrade of ${name}`, prompt: packagesText(seen) }, [
      { label: `Upgrade ${name}...`, description: seen.restarts ? 'the guest is shut down and booted' : 'takes effect at its next start', icon: 'rocket', value: true },
      ...factsOf(seen),
      ...(seen.packages ?? []).map((change, at) => ({ ...changeOf(change), icon: 'package', value: false, ...(at === 0 ? { group: 'Packages' } : {}) })),
    ]),
  );
}

/** How many packages change, or why that is not known. */
function packagesText({ packages = [], notCompared }: UpgradePreview): string {
  if (notCompared) {
    return `The packages are not compared: ${notCompared}`;
  }
  const added = packages.filter(({ before }) => !before?.length).length;
  const removed = packages.filter(({ after }) => !after?.length).length;
  return `${count(packages.length - added - removed, 'package')} changed, ${added} new, ${removed} removed`;
}

function factsOf({ current, next, built, added, removed, losesNix }: UpgradePreview): Choice<boolean>[] {
  const facts: [label: string, text: string, icon: string][] = [
    ['Current image', imageOf(current), 'circle-outline'],
    ['Next image', `${imageOf(next)}${next.id && !built ? ', to be built' : ''}`, 'circle-filled'],
    ['New profiles', added.join(', '), 'add'],
    ['Removed profiles', removed.join(', '), 'remove'],
    ['/nix', losesNix ? 'what was installed is removed if the image has another Nix store' : '', 'warning'],
  ];
  return facts
    .filter(([, text]) => text)
    .map(([label, description, icon], at) => ({ label, description, icon, value: false, ...(at === 0 ? { group: 'What changes' } : {}) }));
}

/** A file has no id before it is imported. */
const imageOf = ({ id, kind }: ImageRef): string => id || `${kind}, to be imported`;

function changeOf({ name, before = [], after = [] }: PackageChange): { label: string; description: string } {
  const change = before.length === 0 ? `${after.join(', ')} (new)` : after.length === 0 ? `${before.join(', ')} (removed)` : `${before.join(', ')} → ${after.join(', ')}`;
  return { label: name, description: change };
}
