package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/rpc"
)

// The exit codes. Scripts that need to know more compare the code of --json.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitConflict    = 4
	exitConfirm     = 5
	exitUnreachable = 6
	exitCancelled   = 130
)

// exitClass is one exit code and the problems that lead to it.
type exitClass struct {
	exit    int
	meaning string
	codes   []problem.Code
}

// exitClasses lists every exit code; a problem that is in no row is exitFailed.
func exitClasses() []exitClass {
	return []exitClass{
		{exitOK, "done", nil},
		{exitFailed, "any other failure", nil},
		{exitUsage, "invalid command line, value or configuration, or something that the VM or its backend cannot do; nothing was started", []problem.Code{
			problem.BadParams, problem.MachineNameInvalid, problem.SnapshotNameInvalid, problem.SizeInvalid, problem.MachineInvalid,
			problem.ProfileUnknown, problem.ProfileConflict, problem.BackendUnknown, problem.ModeUnsupported, problem.Unsupported, problem.ConfigInvalid,
		}},
		{exitNotFound, "no such machine, VM, snapshot, backup, image, forward, repository or operation", []problem.Code{
			problem.MachineNotFound, problem.VMNotFound, problem.SnapshotNotFound, problem.ImageNotFound, problem.ForwardNotFound, problem.GenerationNotFound,
			problem.OperationNotFound, problem.BackupNotFound, problem.RepositoryNotFound,
		}},
		{exitConflict, "conflict: a name is taken, the machine is busy, or the VM is in the wrong state", []problem.Code{
			problem.VMBusy, problem.MachineExists, problem.VMExists, problem.SnapshotExists, problem.VMRunning, problem.VMNotRunning,
			problem.ForwardConflict, problem.PortTaken, problem.SSHNameTaken, problem.DaemonRunning, problem.OperationResolved,
		}},
		{exitConfirm, "confirmation required: repeat the machine's name with --confirm", []problem.Code{problem.ConfirmRequired}},
		{exitUnreachable, "the daemon or a backend is unreachable", []problem.Code{
			problem.DaemonUnreachable, problem.DaemonSilent, problem.PeerRefused, problem.BackendUnreachable, rpc.ProblemStopping,
		}},
		{exitCancelled, "cancelled", []problem.Code{problem.Cancelled}},
	}
}

func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	code := problem.From(err).Code
	for _, class := range exitClasses() {
		if slices.Contains(class.codes, code) {
			return class.exit
		}
	}
	return exitFailed
}

// errorAnswer is what --json prints instead of the answer.
type errorAnswer struct {
	Error *problem.Error `json:"error"`
}

// exitError ends the program with a code and without a word: all is said.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// fail shows an error to the user and returns the exit code.
func (a *app) fail(err error) int {
	if err == nil {
		return exitOK
	}
	if e, ok := err.(exitError); ok { //nolint:errorlint // verbs return it bare, and a wrapped one has something to say
		return e.code
	}
	p := problem.From(err)
	if a.json {
		// On the standard output, so that it always holds one JSON value.
		answer := errorAnswer{p}
		if err := writeJSON(a.out, answer); err != nil {
			return exitFailed
		}
		return exitCode(p)
	}
	a.show(p)
	return exitCode(p)
}

// show writes a problem for people.
func (a *app) show(p *problem.Error) {
	for i, line := range strings.Split(strings.TrimRight(p.Message, "\n"), "\n") {
		if i == 0 {
			fmt.Fprintf(a.err, "%s %s\n", a.paint(red, "nixvmd:"), clean(line))
			continue
		}
		fmt.Fprintf(a.err, "  %s\n", clean(line))
	}
	a.showHint(p.Hint)
}

func (a *app) showHint(hint string) {
	if hint == "" {
		return
	}
	for line := range strings.SplitSeq(strings.TrimRight(hint, "\n"), "\n") {
		fmt.Fprintf(a.err, "%s %s\n", a.paint(cyan, "hint:"), clean(line))
	}
}

// newExitCodes is a help topic: `nixvmd help exit-codes`.
func newExitCodes() *cobra.Command {
	var b strings.Builder
	for _, class := range exitClasses() {
		fmt.Fprintf(&b, "%4d  %s\n", class.exit, class.meaning)
		for _, code := range class.codes {
			fmt.Fprintf(&b, "        %s\n", code)
		}
	}
	b.WriteString("\nnixvmd ssh exits like ssh: with the exit code of the remote command, or 255.\n")
	b.WriteString("With --json an error is {\"error\": {\"code\", \"message\", \"hint\", \"retryable\"}} on standard output.")
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: strings.TrimRight(b.String(), "\n")}
}
