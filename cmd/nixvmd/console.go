package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// escapeKey is C-], as in telnet and `virsh console`.
const escapeKey = 0x1d

// resetTerminal puts back what a program on the console may have left: attributes,
// the cursor, margins, cursor keys and keypad, pasting, the mouse, the character set.
const resetTerminal = "\x1b[0m\x1b[?25h\x1b7\x1b[r\x1b8\x1b[?1l\x1b>\x1b[?2004l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1006l\x0f\x1b(B"

func newConsole(a *app) *cobra.Command {
	raw := false
	cmd := &cobra.Command{
		Use: "console NAME", Short: "Open the serial console of a VM; C-] closes it",
		Long: `Open the serial console of a running VM: boot messages and a login prompt. C-]
closes it. If the input is not a terminal, the console closes at its end.

Escape sequences that could affect your terminal are removed: titles, the
clipboard, queries that the terminal answers, the mouse. Text, colours and cursor
movement are kept. --raw passes everything through.`,
		Args: takes("NAME"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			var r api.ConsoleResult
			if err := a.ask(cmd.Context(), "console", api.MethodVMConsole, api.ConsoleParams{Name: args[0], Raw: raw}, &r); err != nil {
				return err
			}
			conn, err := (&net.Dialer{}).DialContext(cmd.Context(), "unix", r.Socket)
			if err != nil {
				return problem.New(problem.DaemonUnreachable, "open the console of %s: %w", args[0], err).WithHint("try again")
			}
			defer conn.Close()
			return a.console(cmd.Context(), args[0], conn)
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "pass the output of the guest through unfiltered")
	return cmd
}

// console connects this terminal with the guest's. The daemon has made what comes
// fit for it, unless asked not to.
func (a *app) console(ctx context.Context, name string, conn net.Conn) error {
	if a.inTTY {
		a.note("console of %s; press C-] to close it, RET for a prompt", name)
		restore, err := rawTerminal(a.in)
		if err != nil {
			return err
		}
		defer func() {
			if a.outTTY {
				_, _ = io.WriteString(a.out, resetTerminal)
			}
			restore()
			a.note("\nconsole of %s closed; the VM keeps running", name)
		}()
	}
	// The terminal must be restored at every end of this program.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGHUP, os.Interrupt)
	defer stop()
	ended := make(chan error, 2)
	go func() { ended <- copyOutput(a.out, conn) }()
	go func() {
		a.copyInput(conn)
		ended <- nil
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return nil
	}
}

// rawTerminal lets every key through; restore undoes it.
func rawTerminal(f *os.File) (restore func(), err error) {
	fd := int(f.Fd())
	state, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("set up the terminal: %w", err)
	}
	return func() {
		// There is nothing better to do with a terminal that is gone.
		_ = term.Restore(fd, state)
	}, nil
}

// copyOutput returns when the guest's side ends: the VM is off.
func copyOutput(w io.Writer, conn net.Conn) error {
	if _, err := io.Copy(w, conn); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("console: %w", err)
	}
	return nil
}

// copyInput returns at the escape key, at the end of the input (a script leaves
// so), or when the VM is off, of which copyOutput says more.
func (a *app) copyInput(conn net.Conn) {
	buffer := make([]byte, 4096)
	for {
		n, err := a.in.Read(buffer)
		keys := buffer[:n]
		leave := false
		if i := bytes.IndexByte(keys, escapeKey); i >= 0 && a.inTTY {
			keys, leave = keys[:i], true
		}
		if _, werr := conn.Write(keys); werr != nil || leave || err != nil {
			return
		}
	}
}
