package vm

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/operation"
)

// detail is what operations want to find again in their plans.
type detail struct {
	snapshot, safety string // the one it makes, restores or deletes; the one that a restore makes first
	declares         bool   // it makes the machine directory
	becomes          string // instance of the VM that takes the place of the one that it is about
	left             leftover
}

func detailOf(t *operation.Task) detail { return detailIn(t.Plan()) }

func detailIn(p operation.Plan) detail {
	d, _ := p.Detail.(detail) // none: the zero value
	return d
}

// leftover reports whether there is still something that the undo of a plan would
// act on, made between the two times. It is asked when the daemon has gone on after
// the operation had failed.
type leftover func(ctx context.Context, since, until time.Time) bool

// makes are the operations at whose end there is a new VM.
var makes = map[api.Kind]bool{api.KindCreate: true, api.KindClone: true, api.KindImport: true}

// removes are the operations at whose end there is no VM.
var removes = map[api.Kind]bool{api.KindDestroy: true, api.KindPurge: true}

// noArgs is for operations that need to remember nothing.
type noArgs struct{}

// keysOf are the machines that an operation keeps busy: the one that it changes,
// and the one that it copies. A rename has the new name first, since it frees the other
// one before it ends.
func keysOf(op api.Operation) []string {
	switch {
	case op.Machine == "":
		return nil
	case op.Source != "":
		return []string{op.Machine, op.Source}
	case op.NewName != "":
		return []string{op.NewName, op.Machine}
	}
	return []string{op.Machine}
}

// checkSubject refuses what no operation can be about. That there is such a kind,
// the engine checks.
func checkSubject(op api.Operation) error {
	switch {
	case (op.Kind != api.KindBuildImage) != (op.Machine != ""):
		return fmt.Errorf("%s of machine %q", op.Kind, op.Machine)
	case (op.Kind == api.KindClone) != (op.Source != ""):
		return fmt.Errorf("%s from machine %q", op.Kind, op.Source)
	case (op.Kind == api.KindRename) != (op.NewName != ""):
		return fmt.Errorf("%s of a machine to %q", op.Kind, op.NewName)
	}
	for _, name := range keysOf(op) {
		if err := names.Machine(name); err != nil {
			return err
		}
	}
	return nil
}

// checked are arguments that name machines or snapshots themselves. They come
// from a file: what stands there is checked again.
type checked interface{ check(machine string) error }

// planFrom reads the arguments of an operation and builds its plan.
func planFrom[A any](build func(machine string, args A) operation.Plan) func(api.Operation, json.RawMessage) (operation.Plan, error) {
	return func(op api.Operation, raw json.RawMessage) (operation.Plan, error) {
		var args A
		if err := json.Unmarshal(raw, &args); err != nil {
			return operation.Plan{}, fmt.Errorf("arguments in the journal: %w", err)
		}
		if c, ok := any(args).(checked); ok {
			if err := c.check(op.Machine); err != nil {
				return operation.Plan{}, fmt.Errorf("arguments in the journal: %w", err)
			}
		}
		return noting(build(op.Machine, args)), nil
	}
}
