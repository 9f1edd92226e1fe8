package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// everyMachine is what --confirm repeats for upgrade --all.
const everyMachine = "all"

// upgradeAnswer is what upgrade --all --json prints.
type upgradeAnswer struct {
	Operations []api.Operation `json:"operations"`       // of the machines that it came to
	Failed     []upgradeError  `json:"failed,omitempty"` // in order
}

type upgradeError struct {
	Machine string         `json:"machine"`
	Error   *problem.Error `json:"error"`
}

// checkAll refuses flags and arguments that do not go together.
func checkAll(all, keepGoing bool, image string, f bootFlags, args []string) error {
	hint := "nixvmd upgrade NAME, or nixvmd upgrade --all"
	switch {
	case !all && len(args) == 0:
		return problem.New(problem.BadParams, "NAME is missing").WithHint("%s", hint)
	case all && len(args) > 0:
		return problem.New(problem.BadParams, "--all and a name exclude each other").WithHint("%s", hint)
	case keepGoing && !all:
		return problem.New(problem.BadParams, "--keep-going needs --all").WithHint("%s", hint)
	case all && image != "":
		return problem.New(problem.BadParams, "--all and --image exclude each other").WithHint("give one machine another image: nixvmd upgrade NAME --image IMAGE")
	case all && f.detach:
		return problem.New(problem.BadParams, "--all and --detach exclude each other").WithHint("one upgrade begins when the one before has ended")
	}
	return nil
}

// upgradeAll upgrades the machines that can be, by name. Without keepGoing it ends with
// the first failure; its error is the first one.
func (a *app) upgradeAll(cmd *cobra.Command, f bootFlags, keepGoing bool) error {
	ctx := cmd.Context()
	var list api.MachineListResult
	if err := a.ask(ctx, "upgrade", api.MethodMachineList, api.NoParams{}, &list); err != nil {
		return err
	}
	seconds, err := f.seconds(cmd.Flags())
	if err != nil {
		return err
	}
	answer := upgradeAnswer{Operations: []api.Operation{}}
	var first error
	for _, m := range list.Machines {
		if !slices.Contains(m.Actions, "upgrade") {
			continue
		}
		op, err := a.upgradeOne(cmd, m, f, seconds)
		if err == nil {
			answer.Operations = append(answer.Operations, op)
			continue
		}
		p := problem.From(err)
		answer.Failed = append(answer.Failed, upgradeError{m.Name, p})
		if first == nil {
			first = fmt.Errorf("%s: %w", m.Name, err)
		}
		if !keepGoing || p.Code == problem.Cancelled {
			break
		}
		if !a.json {
			a.show(p)
		}
	}
	if len(answer.Operations)+len(answer.Failed) == 0 {
		a.note("no VM can be upgraded")
	}
	switch {
	case first == nil:
		return a.print(answer, func(w io.Writer) { upgradedText(w, answer) })
	case !keepGoing && len(answer.Operations) == 0:
		return first
	}
	if err := a.print(answer, func(w io.Writer) { upgradedText(w, answer) }); err != nil {
		return err
	}
	if a.json { // one value, which has the error
		return exitError{exitCode(first)}
	}
	return first
}

func (a *app) upgradeOne(cmd *cobra.Command, m api.Machine, f bootFlags, seconds *int) (api.Operation, error) {
	given := f.confirm
	if given == everyMachine {
		given = m.Name
	}
	params := api.UpgradeParams{Work: api.Work{Detach: true}, Name: m.Name, AllowDegraded: f.allowDegraded, TimeoutSeconds: seconds}
	result, err := a.confirmBoot("upgrade", m.Name, given, func(confirm string) (api.OperationResult, error) {
		params.Confirm = confirm
		return a.operate(cmd.Context(), "upgrade", api.MethodVMUpgrade, params, false)
	})
	return result.Operation, err
}

func upgradedText(w io.Writer, answer upgradeAnswer) {
	for _, op := range answer.Operations {
		fmt.Fprintf(w, "%s is at generation %d, image %s\n", op.Machine, op.Generation, clean(op.Image))
	}
}
