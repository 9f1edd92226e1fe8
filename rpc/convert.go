package rpc

import (
	"slices"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/vm"
)

// machineOf is a machine as it is sent: no control characters in the text of tools and
// guests, times to the millisecond. list is every configured backend.
func machineOf(v vm.VM, list []api.Backend) api.Machine {
	m := v.Wire(list)
	m.Reason, m.Problem = plainLine(m.Reason), problemOf(m.Problem)
	m.Profiles, m.Started = notNil(m.Profiles), wireTime(m.Started)
	return m
}

// operationOf is an operation as it is sent: no control characters in the text of
// tools and guests, times to the millisecond.
func operationOf(op api.Operation) api.Operation {
	op.Message, op.Warnings, op.Problem = plainLine(op.Message), plainLines(op.Warnings), problemOf(op.Problem)
	op.Disruptive, op.Outcome = op.Kind.Disruptive(), op.Kind.Outcome()
	op.Started, op.Ended = wireTime(op.Started), wireTime(op.Ended)
	op.Choices = slices.Clone(op.Choices)
	for i := range op.Choices {
		op.Choices[i].Effect = plainLine(op.Choices[i].Effect)
	}
	return op
}

// problemOf is a problem as it is sent.
func problemOf(p *problem.Error) *problem.Error {
	if p == nil {
		return nil
	}
	out := *p
	out.Message, out.Hint = plainText(p.Message), plainText(p.Hint)
	return &out
}

func plainLines(list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, plainText(s))
	}
	return out
}

// wireTime is UTC with milliseconds: every client can parse it, and no user
// needs finer.
func wireTime(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}

// notNil makes an empty list [] on the wire instead of null.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
