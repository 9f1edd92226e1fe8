import type { App } from '../app';
import { adoptCommands } from './adopt';
import { archiveCommands } from './archive';
import { attachCommands } from './attach';
import { autostartCommands } from './autostart';
import { backupCommands } from './backup';
import { cancelCommands } from './cancel';
import { cloneCommands } from './clone';
import type { Commands } from './commands';
import { configureCommands } from './configure';
import { consoleCommands } from './console';
import { createCommands } from './create';
import { destroyCommands } from './destroy';
import { doctorCommands } from './doctor';
import { fileCommands } from './files';
import { forwardCommands } from './forward';
import { imageCommands } from './images';
import { migrateCommands } from './migrate';
import { miscCommands } from './misc';
import { otherCommands } from './other';
import { passwdCommands } from './passwd';
import { powerCommands } from './power';
import { pullCommands } from './pull';
import { recreateCommands } from './recreate';
import { renameCommands } from './rename';
import { resolveCommands } from './resolve';
import { snapshotCommands } from './snapshot';
import { terminalCommands } from './terminal';
import { upgradeCommands } from './upgrade';

/** Every command, by its id without "nixvm.". */
export const allCommands = (app: App): Commands => ({
  ...adoptCommands(app),
  ...archiveCommands(app),
  ...attachCommands(app),
  ...autostartCommands(app),
  ...backupCommands(app),
  ...cancelCommands(app),
  ...cloneCommands(app),
  ...configureCommands(app),
  ...consoleCommands(app),
  ...createCommands(app),
  ...destroyCommands(app),
  ...doctorCommands(app),
  ...fileCommands(app),
  ...forwardCommands(app),
  ...imageCommands(app),
  ...migrateCommands(app),
  ...miscCommands(app),
  ...otherCommands(app),
  ...passwdCommands(app),
  ...powerCommands(app),
  ...pullCommands(app),
  ...recreateCommands(app),
  ...renameCommands(app),
  ...resolveCommands(app),
  ...snapshotCommands(app),
  ...terminalCommands(app),
  ...upgradeCommands(app),
});
