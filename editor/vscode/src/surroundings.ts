import { accessSync, constants, statSync } from 'node:fs';
import { homedir } from 'node:os';
import type { Surroundings } from './daemon/program';

/** This computer and this user. */
export const realSurroundings: Surroundings = {
  env: process.env,
  platform: process.platform,
  home: homedir(),
  isExecutable: (path) => {
    try {
      accessSync(path, constants.X_OK);
      return statSync(path).isFile();
    } catch {
      return false;
    }
  },
};
