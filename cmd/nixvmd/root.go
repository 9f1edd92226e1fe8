package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/version"
	"github.com/nixvm/nixvm/vm"
)

// The groups of verbs in the overview.
const (
	groupVM       = "vm"
	groupUse      = "use"
	groupSnapshot = "snapshot"
	groupBackup   = "backup"
	groupSetup    = "setup"
	groupDaemon   = "daemon"
)

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args []string) int {
	a := newApp(os.Stdin, os.Stdout, os.Stderr)
	root := newRoot(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	// Parsing stops at a wrong flag, before a --json that comes later.
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	a.json = a.json || slices.Contains(args, "--json")
	if lost := a.out.lost(); lost != nil {
		a.json = false // it would go the same way
		a.show(problem.From(lost))
		if err == nil || errors.Is(err, a.out.err) {
			return exitFailed
		}
	}
	return a.fail(err)
}

// newRoot is the tree of all verbs.
func newRoot(a *app) *cobra.Command {
	home := ""
	root := &cobra.Command{
		Use:   "nixvmd",
		Short: "VMs for code agents: create, attach, snapshot, restore, destroy",
		Long: `nixvmd creates and manages VMs for code agents.

  nixvmd create                            prompts for options
  ssh NAME                                 connecting starts the VM
  nixvmd snapshot NAME before-refactor     undo with restore-snapshot`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		Version:           version.String(),
		Args:              cobra.ArbitraryArgs,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.prepare(home) },
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownVerb(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	root.SuggestionsMinimumDistance = 2
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetVersionTemplate("nixvmd {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return problem.New(problem.BadParams, "%w", err).WithHint("%s --help lists the flags", cmd.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.StringVar(&home, "home", "", "keep all files in `DIR` instead of the XDG directories (NIXVM_HOME)")
	flags.BoolVar(&a.json, "json", false, "print one JSON value; progress as JSON lines on standard error")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "no progress, no warnings")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "show the output of external tools")
	root.AddGroup(
		&cobra.Group{ID: groupVM, Title: "VMs:"},
		&cobra.Group{ID: groupUse, Title: "Work in a VM:"},
		&cobra.Group{ID: groupSnapshot, Title: "Snapshots:"},
		&cobra.Group{ID: groupBackup, Title: "Backups:"},
		&cobra.Group{ID: groupSetup, Title: "Settings and checks:"},
		&cobra.Group{ID: groupDaemon, Title: "Daemon:"},
	)
	cobra.EnableCommandSorting = false // the order of addVerbs is the order in which people meet them
	addVerbs(a, root)
	root.SetHelpCommandGroupID(groupSetup)
	refuseUnknownTopics(root)
	return root
}

// refuseUnknownTopics makes `help nonsense` an error: the library shows the
// overview, as if that were the answer.
func refuseUnknownTopics(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		return
	}
	show := help.Run
	help.Run, help.RunE = nil, func(cmd *cobra.Command, args []string) error {
		if _, rest, err := root.Find(args); err != nil || len(rest) > 0 {
			return unknownVerb(root, strings.Join(args, " "))
		}
		show(cmd, args)
		return nil
	}
}

// addVerbs adds one command per file, in the order in which people meet them.
func addVerbs(a *app, root *cobra.Command) {
	for _, g := range []struct {
		id    string
		verbs []*cobra.Command
	}{
		{groupVM, []*cobra.Command{
			newCreate(a), newClone(a), newList(a), newStatus(a), newStart(a), newStop(a), newReboot(a), newSuspend(a), newResume(a),
			newKill(a), newConfigure(a), newPasswd(a), newUpgrade(a), newGenerations(a), newRollback(a), newRecreate(a), newRename(a), newMigrate(a), newDestroy(a), newPurge(a), newOperations(a), newWait(a), newCancel(a),
		}},
		{groupUse, []*cobra.Command{newSSH(a), newAttach(a), newConsole(a), newForward(a), newShare(a), newAgent(a)}},
		{groupSnapshot, []*cobra.Command{newSnapshot(a), newSnapshots(a), newRestoreSnapshot(a), newDeleteSnapshot(a)}},
		{groupBackup, []*cobra.Command{newBackup(a), newBackups(a), newRestoreBackup(a), newExport(a), newImport(a), newAdopt(a)}},
		{groupSetup, []*cobra.Command{newDoctor(a), newProfiles(a), newBridges(a), newPCI(a), newBuild(a), newImages(a), newImage(a), newSSHConfig(a), newCompletion(a), newVersion(a)}},
		{groupDaemon, []*cobra.Command{newServe(a), newShutdown(a), newStdio(a), newPaths(a), newProxy(a)}},
	} {
		for _, c := range g.verbs {
			c.GroupID = g.id
			root.AddCommand(c)
		}
	}
	root.AddCommand(newExitCodes(), newNetstack(), newQemulog())
}

func unknownVerb(root *cobra.Command, verb string) error {
	p := problem.New(problem.BadParams, "unknown command %q", verb)
	if near := root.SuggestionsFor(verb); len(near) > 0 {
		return p.WithHint("did you mean %s?", strings.Join(near, ", "))
	}
	return p.WithHint("nixvmd --help lists the commands")
}

// verbMissing is what a command does that only groups its verbs.
func verbMissing(cmd *cobra.Command, _ []string) error {
	return problem.New(problem.BadParams, "%s needs a command", cmd.CommandPath()).
		WithHint("%s --help lists its commands", cmd.CommandPath())
}

// takes makes an argument check whose message names what is missing. An
// argument in brackets may be left out.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		hint := strings.TrimSpace(cmd.CommandPath() + " " + strings.Join(names, " "))
		if cmd.HasSubCommands() {
			hint = cmd.CommandPath() + " --help lists its commands"
		}
		for i, name := range names {
			if i >= len(args) && !strings.HasPrefix(name, "[") {
				return problem.New(problem.BadParams, "%s is missing", name).WithHint("%s", hint)
			}
		}
		if len(args) > len(names) {
			return problem.New(problem.BadParams, "unexpected argument %q", args[len(names)]).WithHint("%s", hint)
		}
		return nil
	}
}

// ownFlags counts the flags of the verb itself that were given.
func ownFlags(cmd *cobra.Command) int {
	n := 0
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if cmd.InheritedFlags().Lookup(f.Name) == nil {
			n++
		}
	})
	return n
}

// prepare settles where everything is, before any verb runs.
func (a *app) prepare(home string) error {
	if home == "" {
		home = os.Getenv("NIXVM_HOME")
	}
	if home != "" {
		// Children (the daemon, ssh and its proxy) must look in the same place, and
		// some of them run in another directory than this.
		abs, err := filepath.Abs(home)
		if err == nil {
			err = os.Setenv("NIXVM_HOME", abs)
		}
		if err != nil {
			return fmt.Errorf("--home: %w", err)
		}
	}
	layout, err := paths.FromEnv()
	if err != nil {
		return err
	}
	if l, err := vm.WithMachines(layout); err == nil {
		layout = l // else the daemon says what is wrong with the configuration
	}
	exe, err := os.Executable()
	if err != nil {
		return errors.Join(problem.New(problem.Internal, "cannot determine the path of this program"), err)
	}
	a.layout, a.exe = layout, exe
	return nil
}
