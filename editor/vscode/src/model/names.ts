import type { Machine } from '../protocol';

const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** What is wrong with a name for a new machine; undefined if nothing is. */
export function nameComplaint(name: string, taken: Machine | undefined): string | undefined {
  if (!name) {
    return 'A machine needs a name.';
  }
  if (name.length > 63) {
    return 'At most 63 characters.';
  }
  if (!label.test(name)) {
    return 'Use a-z, 0-9 and -, and begin and end with a letter or digit.';
  }
  if (taken && taken.state !== 'absent') {
    return `There is a VM named ${name} already.`;
  }
  return undefined;
}

/** A name that is free, after that of the project. */
export function freeName(project: string | undefined, taken: (name: string) => boolean): string {
  const slug = (project ?? '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '');
  const base = slug && slug.length <= 40 ? slug : 'agent';
  for (let n = 1; ; n++) {
    const name = n === 1 ? base : `${base}-${n}`;
    if (!taken(name)) {
      return name;
    }
  }
}
