package libvirt

import (
	"context"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// The test driver of libvirt (test:///default) has the domains of a libvirtd,
// their states, events, metadata and snapshots, and no guests: what it is told
// to run does nothing. So the whole of this backend except QEMU can be tried in
// seconds, with the disks as the files that they would be. What libvirt 9 does:
//
//	definitions     takes ours as it is, with the domain type "test"
//	where it runs   in libvirtd only (not virtqemud), and it forgets all domains
//	                when its last client hangs up
//	shutdown        knows no flags, and the domain is off at once
//	undefine        knows no UEFI variables, and fails over the flag for checkpoints
//	                when there are snapshots
//	snapshots       kept in its list, off and running; the disk never hears of them
//	agent, leases   answered with an invented address, and file systems that freeze
//	monitor, console, network filters, uploads: not supported
//
// Its invented answers are refused rather than passed on.

// noGuest is the refusal of what needs a guest.
func noGuest(name string) error {
	return problem.New(problem.Unsupported, "VM %s has no guest: it is a domain of libvirt's test driver", name).
		WithHint("create it on a backend whose uri begins with qemu: to use it")
}

// checkTest says what kind of backend this is.
func checkTest() backends.Finding {
	return backends.Finding{
		Code: "libvirt.test_driver", Severity: backends.Info,
		Message: "VMs of libvirt's test driver have no guest, and are forgotten when nixvmd ends",
	}
}

// undefineFlags are for all that comes with a domain.
func (t target) undefineFlags() golibvirt.DomainUndefineFlagsValues {
	flags := golibvirt.DomainUndefineManagedSave | golibvirt.DomainUndefineSnapshotsMetadata
	if !t.Test {
		flags |= golibvirt.DomainUndefineNvram | golibvirt.DomainUndefineCheckpointsMetadata
	}
	return flags
}

// snapshotTest is snapshotLive for a domain without memory or a disk that
// changes: it can only be taken of a VM that is off.
func (b *Backend) snapshotTest(ctx context.Context, d domain, req backends.SnapshotRequest, note noteMark) error {
	if !req.PowerOff {
		return problem.New(problem.VMRunning, "libvirt's test driver takes no snapshot of VM %s while it runs", d.mark.Name).WithHint("stop it first")
	}
	if err := b.again(ctx, func() error { return b.end(ctx, d) }); err != nil {
		return err
	}
	if err := b.refresh(ctx, d.mark.Name); err != nil {
		return err
	}
	return b.snapshotOffline(ctx, d, req, note)
}
