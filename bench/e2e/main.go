// Command e2e measures nixvm from outside: the built program, a real daemon, real
// guests.
//
//	go run ./bench/e2e daemon    cold start, memory, CPU when idle, read requests
//	go run ./bench/e2e boot      create to an answering sshd, against a bare QEMU
//	go run ./bench/e2e life      settings applied live, an upgrade against a restart
//
// It prints Markdown tables. Everything happens below a temporary NIXVM_HOME, with
// an ssh config of its own.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("e2e", flag.ContinueOnError)
	pairs := flags.Int("pairs", 5, "boot both this often, in turns")
	if err := flags.Parse(args); err != nil {
		return err
	}
	measure := map[string]func(context.Context, *home) error{
		"daemon": measureDaemon,
		"boot":   func(ctx context.Context, h *home) error { return measureBoot(ctx, h, *pairs) },
		"life":   func(ctx context.Context, h *home) error { return measureLife(ctx, h, *pairs) },
	}[flags.Arg(0)]
	if flags.NArg() != 1 || measure == nil {
		return fmt.Errorf("usage: e2e [-pairs N] daemon|boot|life")
	}
	h, err := newHome()
	if err != nil {
		return err
	}
	defer h.remove()
	return measure(ctx, h)
}

// home is a nixvm of our own: a built program and an empty NIXVM_HOME.
type home struct{ dir, program string }

func newHome() (*home, error) {
	program, err := filepath.Abs("bin/nixvmd")
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("%w (make build, and run this from the top of the repository)", err)
	}
	// Short: the paths of sockets are limited.
	dir, err := os.MkdirTemp("", "nixvm-bench")
	if err != nil {
		return nil, err
	}
	return &home{dir: dir, program: program}, os.WriteFile(filepath.Join(dir, "ssh_config"), nil, 0o600)
}

func (h *home) socket() string { return filepath.Join(h.dir, "runtime", "nixvmd.sock") }

// command is the program in this home.
func (h *home) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, h.program, args...)
	cmd.Env = append(os.Environ(), "NIXVM_HOME="+h.dir, "NIXVM_SSH_CONFIG="+filepath.Join(h.dir, "ssh_config"))
	return cmd
}

// nixvmd runs a verb to its end; an error holds what it printed.
func (h *home) nixvmd(ctx context.Context, args ...string) error {
	if out, err := h.command(ctx, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("nixvmd %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// benchVM is the name of every VM that is made here.
const benchVM = "bench"

// remove ends what runs, also after a failure in the middle, and deletes the home.
func (h *home) remove() {
	if _, err := os.Stat(h.socket()); err == nil {
		_ = h.nixvmd(context.Background(), "purge", benchVM, "--confirm", benchVM) // there may be none
		_ = h.nixvmd(context.Background(), "shutdown")                             // it may have ended meanwhile
	}
	os.RemoveAll(h.dir)
}
