import { posix } from 'node:path';
import { localCodes, Problem } from './problem';

/** What finding a program depends on; injected, so that tests choose it. */
export interface Surroundings {
  env: Readonly<Record<string, string | undefined>>;
  platform: NodeJS.Platform;
  home: string;
  isExecutable(path: string): boolean;
}

/** Where programs are that a desktop session does not always have in its PATH. */
function usualDirectories(s: Surroundings): string[] {
  const user = s.env['USER'] ?? '';
  return [
    posix.join(s.home, '.local/bin'),
    posix.join(s.home, 'bin'),
    posix.join(s.home, '.nix-profile/bin'),
    ...(user ? [`/etc/profiles/per-user/${user}/bin`] : []),
    '/run/current-system/sw/bin',
    '/nix/var/nix/profiles/default/bin',
    '/usr/local/bin',
    '/opt/homebrew/bin',
    posix.join(s.home, 'go/bin'),
  ];
}

/** Finds the program nixvmd. The setting is a name, an absolute path, or ~/a path. */
export function findProgram(setting: string, s: Surroundings): string {
  const wanted = setting.trim() || 'nixvmd';
  const expanded = wanted.startsWith('~/') ? posix.join(s.home, wanted.slice(2)) : wanted;
  if (posix.isAbsolute(expanded)) {
    if (s.isExecutable(expanded)) {
      return expanded;
    }
    throw new Problem(localCodes.noProgram, `the program ${expanded} does not exist`, { hint: 'correct the setting nixvm.path' });
  }
  if (expanded.includes('/')) {
    throw new Problem(localCodes.noProgram, `the setting nixvm.path is ${wanted}`, {
      hint: 'use a name or an absolute path',
    });
  }
  const path = (s.env['PATH'] ?? '').split(':').filter((directory) => posix.isAbsolute(directory));
  for (const directory of [...path, ...usualDirectories(s)]) {
    const candidate = posix.join(directory, expanded);
    if (s.isExecutable(candidate)) {
      return candidate;
    }
  }
  throw new Problem(localCodes.noProgram, `the program ${expanded} was not found`, {
    hint: 'install nixvmd and put it into your PATH, or set nixvm.path',
  });
}
