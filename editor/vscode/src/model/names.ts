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
