package rpc

import (
	"time"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/vm"
)

// machineOf converts the domain value. The operation is filled in by the hub,
// which knows best what runs; here only what the value itself says.
func machineOf(v vm.VM) Machine {
	m := Machine{
		Name: v.Name, State: string(v.State), Ready: v.Ready, Reason: plainLine(v.Reason), Mode: v.Mode,
		Profiles: notNil(v.Profiles), Backend: v.Backend,
		Image:     ImageRef{Kind: v.Image.Kind, ID: v.Image.ID, Distro: v.Image.Distro, Version: v.Image.Version},
		MemoryMiB: v.MemoryMiB, VCPUs: v.VCPUs, DiskBytes: v.DiskBytes, Autostart: v.Autostart, Network: v.Network,
		Accel: v.Accel, Address: v.Address, SSHHost: v.SSHHost, AdminHost: v.AdminHost,
		Started: wireTime(v.Started), Problem: problemOf(v.Problem), Unresolved: v.Unresolved, Pending: v.Pending,
	}
	if u := v.Snapshots; u != nil {
		m.Snapshots = &SnapshotUsage{Count: u.Count, Warning: u.Warning}
	}
	if v.Operation != nil && v.Operation.State == vm.OpRunning {
		m.Operation = v.Operation.ID
	}
	return m
}

func operationOf(op vm.Operation) Operation {
	o := Operation{
		ID: op.ID, Kind: string(op.Kind), Machine: op.Machine, Source: op.Source, State: string(op.State), Step: op.Step,
		Steps: op.Steps, Done: op.Done, Message: plainLine(op.Message), Started: wireTime(op.Started), Ended: wireTime(op.Ended),
		Problem: problemOf(op.Problem), Warnings: plainLines(op.Warnings), Client: op.Client, Snapshot: op.Snapshot, Safety: op.Safety,
		Image: op.Image, Resolves: op.Resolves,
	}
	for _, c := range op.Choices {
		o.Choices = append(o.Choices, Choice{Action: string(c.Action), Effect: plainLine(c.Effect), Confirm: c.Confirm})
	}
	if op.Percent >= 0 {
		percent := min(op.Percent, 100)
		o.Percent = &percent
	}
	return o
}

func defaultsOf(d vm.Defaults) CreateDefaults {
	return CreateDefaults{
		Image: d.Image, Profiles: notNil(d.Profiles), Mode: d.Mode, MemoryMiB: d.Memory, VCPUs: d.VCPUs, DiskBytes: d.DiskBytes(), Network: d.Network,
	}
}

func problemOf(p *problem.Error) *ErrorData {
	if p == nil {
		return nil
	}
	return &ErrorData{Code: p.Code, Message: plainText(p.Message), Hint: plainText(p.Hint), Retryable: p.Retryable}
}

func plainLines(list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, plainText(s))
	}
	return out
}

// wireTime is UTC with milliseconds: what every client can parse and nobody
// needs finer.
func wireTime(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}

// notNil makes an empty list [] on the wire instead of null.
func notNil(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
