import { execFile } from 'node:child_process';
import { answered, tellProblem, type App } from '../app';
import { cleanEnvironment } from '../daemon/paths';
import { findProgram } from '../daemon/program';
import { localCodes, Problem, problemOf } from '../daemon/problem';
import { count } from '../model/words';
import { problemCodes, type DoctorResult, type Finding } from '../protocol';
import type { Commands } from './commands';

const icons: Record<string, string> = { error: 'error', warning: 'warning', info: 'info' };

/** Asks the daemon; without one, the program checks what it can. */
async function examine(app: App): Promise<Finding[]> {
  try {
    return (await app.client.request('nixvm/doctor', {})).findings;
  } catch (error) {
    const problem = problemOf(error);
    if (!problem.code.startsWith('daemon.') && problem.code !== problemCodes.protocol) {
      throw error;
    }
    if (problem.code === localCodes.noPlatform) {
      throw problem;
    }
    app.log.warn(`no daemon is reachable: ${problem.message}`);
    return examineByProgram(findProgram(app.settings().path, app.surroundings));
  }
}

function examineByProgram(program: string): Promise<Finding[]> {
  return new Promise((resolve, reject) => {
    const options = { cwd: '/', env: cleanEnvironment(process.env), timeout: 120_000, encoding: 'utf8' as const };
    // Its exit code is 1 when something is wrong: what it prints counts.
    execFile(program, ['doctor', '--json'], options, (error, stdout) => {
      try {
        resolve((JSON.parse(stdout) as DoctorResult).findings);
      } catch {
        reject(error ?? new Error(`nixvmd doctor printed no JSON: ${stdout.slice(0, 200)}`));
      }
    });
  });
}

/** Without the program nothing can be checked: that is the finding, and its fix is not this command again. */
function withoutDoctor(error: unknown): never {
  const { code, message, hint } = problemOf(error);
  const missing = code === localCodes.noProgram || code === localCodes.noPlatform;
  throw missing ? new Problem(code, `this computer cannot be checked: ${message}`, { hint }) : new Problem('internal', `this computer could not be checked: ${message}`, { hint });
}

async function doctor(app: App): Promise<void> {
  const findings = await app.ui.progress('Check this computer', () => examine(app)).catch(withoutDoctor);
  findings.forEach(({ severity, area, message, fix }) => app.log.info(`doctor: ${severity}: ${area}: ${message}${fix ? ` (fix: ${fix})` : ''}`));
  const wrong = findings.filter(({ severity }) => severity !== 'info').length;
  if (wrong === 0) {
    void app.ui.info('No problems found.');
    return;
  }
  const finding = await app.ui.pick(
    { title: `${count(wrong, 'problem')} on this computer`, prompt: 'Choose a problem to fix it' },
    findings.map((each) => ({
      label: `${each.area}: ${each.message}`,
      detail: each.fix ?? '',
      icon: icons[each.severity] ?? 'info',
      value: each,
    })),
  );
  // Who only looks has checked this computer, too.
  if (typeof finding === 'object' && finding.fix) {
    await mend(app, finding.fix);
  }
}

/** A fix is a command or a sentence; only the user runs it. */
async function mend(app: App, fix: string): Promise<void> {
  const way = answered(
    await app.ui.pick({ title: fix }, [
      { label: 'Copy', description: 'to the clipboard', icon: 'copy', value: 'copy' },
      { label: 'Insert in a Terminal', description: 'without running it', icon: 'terminal', value: 'terminal' },
    ]),
  );
  if (way === 'copy') {
    await app.workbench.copy(fix);
  } else {
    app.workbench.proposeCommand(fix);
  }
}

const installUrl = 'https://github.com/nixvm/nixvm/blob/main/docs/vscode.md#install-the-daemon';

export const doctorCommands = (app: App): Commands => ({
  doctor: () => doctor(app),
  install: () => app.workbench.openExternal(installUrl),
  connect: async () => {
    // The view shows a failure and what can be done about it.
    await app.client.connect().catch((error: unknown) => tellProblem(app, error, 'Connect to nixvmd'));
  },
});
