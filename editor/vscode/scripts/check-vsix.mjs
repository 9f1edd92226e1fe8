// Checks that the pages of a packaged extension lead somewhere:
//
//   node scripts/check-vsix.mjs FILE.vsix
//
// vsce makes absolute addresses of the relative links and pictures of the README,
// and does not know that the extension is not at the top of its repository.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [file] = process.argv.slice(2);
const root = join(import.meta.dirname, '../../..');
const { repository } = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8'));
const home = repository.url.replace(/\.git$/, '');
const readme = await entry(file, 'extension/readme.md');
const links = [...readme.matchAll(/(!?)\[[^\]]*\]\(([^)\s]+)\)/g)].map(([, picture, target]) => ({ picture: picture === '!', target }));
const broken = [];
for (const { picture, target } of links) {
  const [, path] = new RegExp(`^${home}/(?:raw|blob)/(?:HEAD|main)/([^#]+)`).exec(target) ?? [];
  if (path ? !existsSync(join(root, path)) : picture || !/^https:/.test(target)) {
    broken.push(target);
  }
}
const pictures = links.filter(({ picture }) => picture);
if (broken.length > 0 || pictures.length < 3) {
  console.error(`${file}: the README has ${pictures.length} pictures, and these links lead nowhere:\n${broken.join('\n')}`);
  process.exit(1);
}

/** One text of a zip file. */
async function entry(zip, name) {
  const yauzl = createRequire(join(import.meta.dirname, '../packaging/package.json'))('yauzl');
  return new Promise((resolve, reject) => {
    yauzl.open(zip, { lazyEntries: true }, (error, archive) => {
      if (error) {
        reject(error);
        return;
      }
      archive.on('error', reject);
      archive.on('end', () => reject(new Error(`${zip} has no ${name}`)));
      archive.on('entry', (each) => {
        if (each.fileName !== name) {
          archive.readEntry();
          return;
        }
        archive.openReadStream(each, (failed, stream) => {
          if (failed) {
            reject(failed);
            return;
          }
          let text = '';
          stream.setEncoding('utf8').on('data', (part) => (text += part)).on('end', () => resolve(text)).on('error', reject);
        });
      });
      archive.readEntry();
    });
  });
}
