package libvirt

import (
	"context"
	"errors"
	"testing"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
)

func TestAQEMUThatIsBeingEndedDoesNotHaveTheVM(t *testing.T) {
	m := &move{}
	of := func(state golibvirt.DomainState, reason golibvirt.DomainPausedReason) (s side) {
		s.is(state, reason)
		return s
	}
	running, ending := of(golibvirt.DomainRunning, 0), of(golibvirt.DomainShutdown, 0)
	incoming := of(golibvirt.DomainPaused, golibvirt.DomainPausedMigration)
	if !running.running() || ending.running() || incoming.running() || of(golibvirt.DomainShutoff, 0).running() {
		t.Error("another QEMU runs than the one that executes the guest")
	}
	for name, pair := range map[string][2]side{
		"at the source": {ending, side{}}, "at the target": {side{}, ending}, "at both": {ending, ending},
		"while a guest comes in": {ending, incoming},
	} {
		if _, err := m.decide(t.Context(), pair[0], pair[1]); !errors.Is(err, errMoving) {
			t.Errorf("QEMU is ending %s: the decision is made too early (%v)", name, err)
		}
	}
}

// MigrateAndDie is the part of Migrate that a process does which dies when the guest
// runs at the target and the source has not been told so.
func (b *Backend) MigrateAndDie(ctx context.Context, spec backends.Spec, dest backends.Backend, plan []byte) error {
	m, release, err := b.beginMove(ctx, spec, dest, plan, nil)
	if err != nil {
		return err
	}
	defer release()
	if m.source, err = b.now(ctx, spec.Ref()); err != nil {
		return err
	}
	if err := m.prepare(ctx); err != nil {
		return err
	}
	src, err := m.from.another(ctx)
	if err != nil {
		return err
	}
	defer src.close()
	dst, err := m.to.another(ctx)
	if err != nil {
		return err
	}
	defer dst.close()
	p := m.protocol(src, dst, m.source.dom)
	if err := p.begin(ctx); err != nil {
		return err
	}
	return p.carry(ctx)
}
