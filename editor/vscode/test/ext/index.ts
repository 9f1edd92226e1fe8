import { format } from 'node:util';
import Mocha from 'mocha';

/** Begins each line of mocha's, among those of VS Code. */
const mark = 'mocha| ';

/**
 * What VS Code calls in the extension host. NIXVM_TEST_SUITE names the file whose
 * tests are run: an extension activates once, so each way to activate is a run.
 */
export async function run(): Promise<void> {
  const mocha = new Mocha({ timeout: 120_000, reporter: 'spec', color: false });
  Mocha.reporters.Base.consoleLog = (...args: unknown[]) => console.log(format(...args).replace(/^/gm, mark));
  mocha.suite.emit('pre-require', globalThis, '', mocha);
  const suites: Record<string, () => Promise<unknown>> = {
    plain: () => import('./plain.test'),
    attached: () => import('./attached.test'),
    nameless: () => import('./nameless.test'),
  };
  const suite = suites[process.env['NIXVM_TEST_SUITE'] ?? ''];
  if (!suite) {
    throw new Error(`NIXVM_TEST_SUITE is one of ${Object.keys(suites).join(', ')}`);
  }
  await suite();
  if (mocha.suite.total() === 0) {
    throw new Error('there are no tests in this suite');
  }
  await new Promise<void>((resolve, reject) => {
    mocha.run((failures) => (failures === 0 ? resolve() : reject(new Error(`${failures} tests failed`))));
  });
}
