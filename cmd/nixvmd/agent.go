package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

func newAgent(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "agent", Short: "Bring back the work of a code agent",
		Example: `  nixvmd agent pull demo`,
		Args:    takes(),
		RunE:    verbMissing,
	}
	cmd.AddCommand(newAgentPull(a))
	return cmd
}

// pullFlags are those of agent pull, as typed.
type pullFlags struct {
	dir, repo, branch, maxSize string
	detach                     bool
}

func newAgentPull(a *app) *cobra.Command {
	var f pullFlags
	cmd := &cobra.Command{
		Use: "pull NAME", Short: "Fetch the agent's branch into the checkout here, and say what in it could run",
		Long: `Fetch a branch of a git repository in the VM into the checkout in the current
directory, directly over SSH, as refs/nixvm/NAME/BRANCH. Nothing else in the checkout
changes: no branch, tag, work tree or submodule, and no hook runs. To merge it is up
to you.

Then the commits and changed files are listed, and the changes are flagged that could
run on this host: settings of editors, hooks, build scripts, CI and others.`,
		Example: `  nixvmd agent pull demo
  nixvmd agent pull demo --repo ~/other --branch dev/claude-work --dir ~/src/other`,
		Args: takes("NAME"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error { return a.agentPull(cmd.Context(), args[0], f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "dir", ".", "the checkout, or a directory in it")
	flags.StringVar(&f.repo, "repo", "", "the `PATH` of the repository in the VM (default ~/project)")
	flags.StringVar(&f.branch, "branch", "", "the branch in the VM (default: the one that is checked out there)")
	flags.StringVar(&f.maxSize, "max-size", "", "how much the VM may send, e.g. 4G (default 1G)")
	_ = cmd.MarkFlagDirname("dir") // the flag is there
	detachFlag(cmd, &f.detach)
	return cmd
}

// pullAnswer is the answer of agent pull in JSON.
type pullAnswer struct {
	api.OperationResult
	Review *api.ReviewResult `json:"review,omitempty"`
}

func (a *app) agentPull(ctx context.Context, name string, f pullFlags) error {
	if err := names.Machine(name); err != nil {
		return err
	}
	params := api.PullParams{Work: api.Work{Detach: true}, Name: name, Repository: inGuestHome(f.repo), Branch: f.branch}
	var err error
	if params.Directory, err = filepath.Abs(f.dir); err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	if f.maxSize != "" {
		if params.MaxBytes, err = machine.ParseSize(f.maxSize); err != nil {
			return fmt.Errorf("--max-size: %w", err)
		}
	}
	result, err := a.operate(ctx, "agent pull", api.MethodAgentPull, params, f.detach)
	if err != nil {
		return err
	}
	if f.detach {
		return a.printOperation(result, true, nil)
	}
	var r api.ReviewResult
	if err := a.ask(ctx, "agent pull", api.MethodAgentReview, api.ReviewParams{Directory: params.Directory, Ref: result.Operation.Ref}, &r); err != nil {
		p := problem.From(err)
		return problem.New(p.Code, "%s was fetched, but cannot be examined: %w", result.Operation.Ref, err).WithHint("%s", p.Hint)
	}
	return a.print(pullAnswer{result, &r}, func(w io.Writer) { a.reviewText(w, r) })
}

// inGuestHome undoes what the shell here has made of ~/ in a path of the guest.
func inGuestHome(repo string) string {
	home, err := os.UserHomeDir()
	if rest, ok := strings.CutPrefix(repo, home+"/"); ok && err == nil && home != "/" {
		return "~/" + rest
	}
	return repo
}

// reviewText shows a branch. All of it comes from the guest: every part is cleaned.
func (a *app) reviewText(w io.Writer, r api.ReviewResult) {
	paint := func(colour, text string) string {
		if !a.outTTY {
			return text
		}
		return a.paint(colour, text)
	}
	fmt.Fprintf(w, "%s is at %s\n", clean(r.Ref), shortID(r.Commit))
	switch {
	case r.CommitCount == 0:
		fmt.Fprintln(w, "It has no commits that are not in HEAD.")
		return
	case r.Base == "":
		fmt.Fprintln(w, paint(red, "It has no common history with HEAD: everything in it is new."))
	}
	fmt.Fprintf(w, "\n%s:\n", counted(r.CommitCount, "commit"))
	for _, c := range r.Commits[:min(len(r.Commits), listedLines)] {
		fmt.Fprintf(w, "  %s %s (%s)\n", shortID(c.ID), clean(c.Subject), clean(c.Author))
	}
	more(w, r.CommitCount, listedLines)
	fmt.Fprintf(w, "\n%s:\n", counted(r.FileCount, "changed file"))
	for _, f := range r.Files[:min(len(r.Files), listedLines)] {
		lines := "binary"
		if f.Added != nil && f.Deleted != nil {
			lines = fmt.Sprintf("+%d -%d", *f.Added, *f.Deleted)
		}
		fmt.Fprintf(w, "  %-8s %s (%s)\n", f.Status, clean(f.Path), lines)
	}
	more(w, r.FileCount, listedLines)
	if len(r.Flags) == 0 && r.Incomplete == "" {
		fmt.Fprintln(w, "\nNo change is in a file that is known to run by itself on this host.")
	}
	if len(r.Flags) > 0 {
		fmt.Fprintf(w, "\n%s\n", paint(red, "Look at these before you check out or merge the branch; they could run on this host:"))
	}
	for _, f := range r.Flags {
		fmt.Fprintf(w, "  %s: %s\n", paint(yellow, f.Rule), clean(f.Why))
		for _, p := range f.Paths {
			found := ""
			if p.Found != "" {
				found = ": " + clean(p.Found)
			}
			fmt.Fprintf(w, "    %s%s\n", clean(p.Path), found)
		}
		more(w, f.Count, len(f.Paths))
	}
	if r.Incomplete != "" {
		fmt.Fprintf(w, "\n%s\n", paint(red, "Not everything was examined: "+clean(r.Incomplete)))
	}
	base := r.Base
	if base == "" {
		base = "HEAD"
	}
	fmt.Fprintf(w, "\nTo see all of it: git diff %s %s\nTo merge it:      git merge %s\n", shortID(base), shellWord(r.Ref), shellWord(r.Ref))
}

// listedLines is how many commits, and how many files, are listed on a terminal.
const listedLines = 20

func more(w io.Writer, all, shown int) {
	if all > shown {
		fmt.Fprintf(w, "    and %d more\n", all-shown)
	}
}

func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

// shortID is an object name for people.
func shortID(id string) string { return id[:min(len(id), 12)] }

// shellWord makes one word for a shell of a reference, whose name the guest has chosen.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+@,%", r)
	}
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
