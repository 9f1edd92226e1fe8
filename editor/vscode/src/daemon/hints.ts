// The daemon's hints name verbs of the command line. Here each has a command of
// its own, and a button where the machine is known.

/** A verb's command and its name for people; a verb without a command has only what to say of it. */
interface Verb {
  command?: string;
  words: string;
}

const verbs: Record<string, Verb> = {
  attach: { command: 'attach', words: 'Attach' },
  backup: { command: 'backup', words: 'Back Up' },
  backups: { command: 'backups', words: 'Show Backups' },
  build: { command: 'buildImage', words: 'Build Image' },
  cancel: { command: 'cancel', words: 'Cancel Operation' },
  clone: { command: 'clone', words: 'Clone' },
  configure: { command: 'configure', words: 'Configure' },
  console: { command: 'console', words: 'Open Serial Console' },
  create: { command: 'create', words: 'Create' },
  'delete-snapshot': { command: 'deleteSnapshot', words: 'Delete Snapshot' },
  destroy: { command: 'destroy', words: 'Destroy' },
  doctor: { command: 'doctor', words: 'Check This Computer' },
  export: { command: 'exportArchive', words: 'Export' },
  forward: { words: 'the row Forwards' },
  'forward list': { words: 'the row Forwards of' },
  image: { command: 'images', words: 'Show Images' },
  'image gc': { command: 'removeImages', words: 'Remove Unused Images' },
  kill: { command: 'kill', words: 'Kill' },
  images: { command: 'images', words: 'Show Images' },
  import: { command: 'importArchive', words: 'Import' },
  list: { words: 'the NixVM view' },
  generations: { command: 'rollback', words: 'Roll Back' },
  migrate: { command: 'migrate', words: 'Migrate' },
  'agent pull': { command: 'pull', words: 'Pull Branch of Agent' },
  passwd: { command: 'passwd', words: 'Set Root Password' },
  operations: { command: 'resolve', words: 'the NixVM view' },
  'operations forget': { command: 'resolveForget', words: 'Forget Operation' },
  'operations resume': { command: 'resolve', words: 'Resolve Operation' },
  'operations undo': { command: 'resolve', words: 'Resolve Operation' },
  pci: { command: 'configure', words: 'Configure' },
  profiles: { command: 'buildImage', words: 'Build Image' },
  purge: { command: 'purge', words: 'Purge' },
  reboot: { command: 'reboot', words: 'Reboot' },
  'restore-backup': { command: 'restoreBackup', words: 'Restore Backup' },
  'restore-snapshot': { command: 'restore', words: 'Restore Snapshot' },
  recreate: { command: 'recreate', words: 'Recreate' },
  rename: { command: 'rename', words: 'Rename' },
  rollback: { command: 'rollback', words: 'Roll Back' },
  resume: { command: 'resume', words: 'Resume' },
  share: { command: 'share', words: 'Share' },
  snapshots: { words: 'the row Snapshots of' },
  snapshot: { command: 'snapshot', words: 'Take Snapshot of' },
  connect: { command: 'terminal', words: 'Open Terminal of' },
  ssh: { command: 'terminal', words: 'Open Terminal of' },
  start: { command: 'start', words: 'Start' },
  status: { words: 'the row of' },
  stop: { command: 'stop', words: 'Stop' },
  suspend: { command: 'suspend', words: 'Suspend' },
  upgrade: { command: 'upgrade', words: 'Upgrade' },
};

/** What there is no button for: it is the daemon itself, or a person's own shell. */
export const shellVerbs = ['completion', 'exit-codes', 'wait', 'serve', 'shutdown', 'proxy', 'ssh-config', 'stdio', 'paths', 'version'];

const invocation = /`?\bnixvmd (agent pull|forward list|image gc|operations (?:resume|undo|forget)(?:\|\w+)*|[a-z][a-z-]*)\b((?: [\w.-]+)?)((?: --confirm \S+)?)`?/g;

/** Whether a verb of a hint is told in other words here. */
export const isTranslated = (verb: string): boolean => verb in verbs;

const verbOf = (typed: string): Verb | undefined => verbs[typed.replace(/\|.*/, '')];

/** The hint with commands of this editor in place of those of the command line. */
export function inEditorWords(hint: string): string {
  return hint
    .replace(invocation, (whole, typed: string, after: string) => {
      const verb = verbOf(typed);
      return verb ? `${verb.words}${after}` : whole;
    })
    .replaceAll(/--(image|mode|network|backend|profiles|static-ip|memory|disk)\b/g, '$1');
}

/** A button for a hint. */
export interface HintAction {
  label: string;
  command: string;
  machine?: string;
}

/** The buttons for a hint: at most two. */
export function hintActions(hint: string | undefined, isMachine: (name: string) => boolean): HintAction[] {
  const actions = [...(hint ?? '').matchAll(invocation)].flatMap(([, typed = '', after = '']) => {
    const { command, words } = verbOf(typed) ?? {};
    const name = after.trim();
    if (!command || command === 'doctor') {
      return []; // the doctor is offered wherever it may help
    }
    return isMachine(name) ? [{ label: `${(words ?? '').replace(/ of$/, '')} ${name}`, command, machine: name }] : [];
  });
  return actions.filter(({ label }, n) => actions.findIndex((each) => each.label === label) === n).slice(0, 2);
}
