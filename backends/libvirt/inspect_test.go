package libvirt

import (
	"testing"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
)

// A VM is resumed by itself where its host's disk was full, not where a user has paused it.
func TestOnlyAWriteErrorMeansAFullDisk(t *testing.T) {
	for reason, want := range map[golibvirt.DomainPausedReason]bool{
		golibvirt.DomainPausedUser: false, golibvirt.DomainPausedUnknown: false, golibvirt.DomainPausedMigration: false, golibvirt.DomainPausedIoerror: true,
	} {
		if got := statusOf(golibvirt.DomainPaused, int32(reason)); got.State != backends.Suspended || got.Full != want || (got.Reason == backends.HostFull) != want {
			t.Errorf("reason %d: %+v", reason, got)
		}
	}
}

// A VM has crashed where libvirtd says so, not where it does not know how it ended.
func TestOnlyACrashIsCalledOne(t *testing.T) {
	for reason, want := range map[golibvirt.DomainShutoffReason]backends.State{
		golibvirt.DomainShutoffUnknown:   backends.Stopped,
		golibvirt.DomainShutoffShutdown:  backends.Stopped,
		golibvirt.DomainShutoffDestroyed: backends.Stopped,
		golibvirt.DomainShutoffCrashed:   backends.Crashed,
		golibvirt.DomainShutoffFailed:    backends.Stopped,
		golibvirt.DomainShutoffDaemon:    backends.Stopped,
	} {
		got := statusOf(golibvirt.DomainShutoff, int32(reason))
		if got.State != want || reason == golibvirt.DomainShutoffDaemon && got.Reason == "" {
			t.Errorf("reason %d: %+v, want %s", reason, got, want)
		}
	}
}
