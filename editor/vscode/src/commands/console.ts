import { connect } from 'node:net';
import type { App } from '../app';
import type { VirtualTerminal } from '../ui/virtualTerminal';
import type { Commands } from './commands';
import { target } from './target';

/** The serial console behind a unix socket, as a terminal. It works when ssh does not. */
export function consoleTerminal(socketPath: string): VirtualTerminal {
  const socket = connect(socketPath);
  // What is typed before a connection is up is kept by the socket.
  return {
    open(write, close) {
      socket.setEncoding('utf8');
      socket.on('data', (text: string) => write(text));
      socket.on('error', (error) => write(`\r\nThe console was disconnected: ${error.message}\r\n`));
      socket.on('close', close);
      write('Serial console; close the terminal to leave it. Press Enter for a prompt.\r\n');
      return { dispose: () => socket.destroy() };
    },
    input: (text) => socket.write(text),
  };
}

export const consoleCommands = (app: App): Commands => ({
  console: async (...args) => {
    const { name } = await target(app, args, 'console', 'Open the console of a VM');
    const { socket } = await app.client.request('nixvm/vm/console', { name });
    app.workbench.openTerminal({ name: `${name}: console`, run: consoleTerminal(socket), icon: 'debug-console' });
  },
});
