// Bundles the extension into one file, and the unit tests into one file each.
//
//   node esbuild.mjs [--production]   dist/extension.js
//   node esbuild.mjs --tests          dist/test/*.test.js, for node --test
//   node esbuild.mjs --test-ext       dist/test-ext/index.js, for the extension host
import { readdir, rm } from 'node:fs/promises';
import { build } from 'esbuild';

const common = {
  bundle: true,
  platform: 'node',
  format: 'cjs',
  // The oldest VS Code that package.json allows has Node 20.
  target: 'node20',
  external: ['vscode'],
  logLevel: 'warning',
};

if (process.argv.includes('--tests')) {
  await rm('dist/test', { recursive: true, force: true });
  const files = await readdir('test/unit');
  await build({
    ...common,
    entryPoints: files.filter((name) => name.endsWith('.test.ts')).map((name) => `test/unit/${name}`),
    outdir: 'dist/test',
    sourcemap: 'inline',
  });
} else if (process.argv.includes('--test-ext')) {
  await build({
    ...common,
    entryPoints: ['test/ext/index.ts'],
    outfile: 'dist/test-ext/index.js',
    // The one that tests run in, not the oldest.
    target: 'node24',
    sourcemap: 'inline',
    // Parts of mocha for many processes, which this is not.
    logOverride: { 'require-resolve-not-external': 'silent' },
  });
} else {
  const production = process.argv.includes('--production');
  await build({
    ...common,
    entryPoints: ['src/extension.ts'],
    outfile: 'dist/extension.js',
    minify: production,
    sourcemap: !production,
  });
}
