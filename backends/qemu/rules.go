package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/qemu/netstack"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
)

// ChangeIsolation implements backends.LiveFirewall: the VM's network process takes
// another policy. The file has it too, for the process that comes after this one.
func (b *Backend) ChangeIsolation(ctx context.Context, spec backends.Spec) (restore func(context.Context) error, err error) {
	v, err := b.begin(ctx, spec.Ref())
	if err != nil {
		return nil, err
	}
	defer v.finish()
	inst := v.instance()
	switch {
	case inst == nil:
		return nil, refusal.NotRunning(spec.Name)
	case inst.run.Bridge != "" || inst.run.Network == nil:
		return nil, problem.New(problem.Unsupported, "the network of VM %s is not in nixvm's hands", spec.Name)
	}
	path := inst.sockets.path(policyFile)
	before, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the policy of VM %s: %w", spec.Name, err)
	}
	if err := writePolicy(inst.sockets, spec); err != nil {
		return nil, err
	}
	if err := changePolicy(ctx, inst.sockets); err != nil {
		return nil, errors.Join(policyError(spec.Name, err), atomicfile.Write(path, before, 0o600))
	}
	inst.log().Info("the host isolates the VM by other rules")
	return func(ctx context.Context) error {
		err := atomicfile.Write(path, before, 0o600)
		if err == nil {
			err = changePolicy(ctx, inst.sockets)
		}
		return policyError(spec.Name, err)
	}, nil
}

// changePolicy gives the network process what its file says.
func changePolicy(ctx context.Context, s sockets) error {
	file, err := os.Open(s.path(policyFile))
	if err != nil {
		return err
	}
	defer file.Close()
	p, err := netstack.ReadPolicy(file)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, usageLimit)
	defer cancel()
	conn, err := dialSocket(ctx, s.path(networkSocket))
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	return netstack.ChangePolicy(conn, p)
}

func policyError(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, netstack.ErrOlder):
		return problem.New(problem.Unsupported, "VM %s was started by an earlier nixvmd: %w", name, err).WithHint("nixvmd reboot %s", name)
	}
	return problem.New(problem.IdentityNotApplied, "the host does not isolate VM %s by other rules: %w", name, err).
		WithHint("they take effect at the next start: nixvmd reboot %s", name).Retry()
}
