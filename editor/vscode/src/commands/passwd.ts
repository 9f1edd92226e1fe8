import { execFile } from 'node:child_process';
import { answered, tellProblem, type App } from '../app';
import { cleanEnvironment } from '../daemon/paths';
import { Problem } from '../daemon/problem';
import { findProgram } from '../daemon/program';
import { problemCodes, type MachineResult } from '../protocol';
import type { Commands } from './commands';
import { target, type Arguments } from './target';

/** Milliseconds for a hash, which takes some ten. */
const hashLimit = 30_000;

/** The hash of a password, made by nixvmd on this computer: the password goes no further than its standard input. */
export function hashOf(program: string, password: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd: '/', env: cleanEnvironment(process.env), timeout: hashLimit, encoding: 'utf8' as const };
    const child = execFile(program, ['passwd', '--hash', '--stdin', '--json'], options, (error, stdout) => {
      try {
        const said = JSON.parse(stdout) as { hash?: string; error?: { code: string; message: string; hint?: string } };
        if (said.hash) {
          resolve(said.hash);
          return;
        }
        reject(new Problem(said.error?.code ?? problemCodes.internal, said.error?.message ?? 'nixvmd printed no hash', { hint: said.error?.hint }));
      } catch {
        reject(error ? new Problem(problemCodes.internal, `nixvmd cannot hash the password: it ended with ${String(error.code ?? error.signal)}`) : new Error('nixvmd printed no JSON'));
      }
    });
    // A program that ends early has said why.
    child.stdin?.on('error', () => undefined).end(password);
  });
}

/** Asks for a password twice; an empty one removes it. */
async function askPassword(app: App, title: string): Promise<string> {
  const first = answered(await app.ui.text({ title, prompt: 'New password of root, for the serial console. Leave it empty to remove the password', secret: true }));
  if (first === '') {
    return '';
  }
  const differs = 'The two passwords are not the same';
  answered(await app.ui.text({ title, prompt: 'The same password again', secret: true, complaint: (text) => (text === first ? undefined : differs) }));
  return first;
}

async function passwd(app: App, args: Arguments): Promise<void> {
  const { name } = await target(app, args, 'passwd', 'Set the password of root');
  const password = await askPassword(app, `Password of root in ${name}`);
  if (password === '' && !(await app.ui.confirm({ message: `Remove the password of root in ${name}?`, detail: 'Login on the serial console is then disabled. SSH is not affected.', action: 'Remove' }))) {
    return;
  }
  try {
    const rootPasswordHash = password === '' ? '' : await hashOf(findProgram(app.settings().path, app.surroundings), password);
    const { machine }: MachineResult = await app.client.request('nixvm/machine/configure', { name, rootPasswordHash });
    if (machine.operation) {
      await app.client.request('nixvm/operation/subscribe', { id: machine.operation });
    }
    const now = app.store.machine(name);
    const later = now?.nextStart?.includes('rootPassword') ? ' It takes effect at the next start of the VM.' : '';
    void app.ui.info(`${password === '' ? `Root has no password in ${name} any more.` : `Root has a new password in ${name}.`}${later}`);
  } catch (error) {
    void tellProblem(app, error, `Password of root in ${name}`);
  }
}

export const passwdCommands = (app: App): Commands => ({ passwd: (...args) => passwd(app, args) });
