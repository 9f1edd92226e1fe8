import { accessSync, constants, statSync } from 'node:fs';
import { homedir } from 'node:os';
import type { Surroundings } from './daemon/places';

/** This computer and this user. */
export const realSurroundings: Surroundings = {
  env: process.env,
  platform: process.platform,
  uid: process.getuid?.() ?? 0,
  home: homedir(),
  isDirectory: (path) => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false,
  isExecutable: (path) => {
    try {
      accessSync(path, constants.X_OK);
      return statSync(path).isFile();
    } catch {
      return false;
    }
  },
};
