package libvirt

import (
	"context"
	"fmt"
	"strings"
	"testing"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// qemuIO runs a command of qemu-io on a disk of the host.
func (p *poolHost) qemuIO(t *testing.T, path, command string) {
	t.Helper()
	if out := p.Run(t, "qemu-io", "-f", "qcow2", "-c", command, path); strings.Contains(out, "failed") {
		t.Errorf("%s of %s: %s", command, path, out)
	}
}

func TestAVolumeIsClonedOnItsHost(t *testing.T) {
	p := newPoolHost(t)
	for _, mutable := range []bool{false, true} {
		t.Run(fmt.Sprintf("mutable=%v", mutable), func(t *testing.T) {
			spec := p.spec(fmt.Sprintf("source-%v", mutable))
			spec.Mutable = mutable
			source, err := p.s.create(t.Context(), spec, nil)
			if err != nil {
				t.Fatal(err)
			}
			p.qemuIO(t, source.State, "write -P 1 1M 64k")
			p.Run(t, "qemu-img", "snapshot", "-c", "kept", source.State)
			p.qemuIO(t, source.State, "write -P 2 2M 64k")

			from := backends.Source{VM: backends.Named(spec.Name)}
			copied := p.spec(fmt.Sprintf("copy-%v", mutable))
			copied.Mutable, copied.DiskBytes = mutable, 64<<20
			if _, err := p.s.clone(t.Context(), from, false, copied, nil); !problem.HasCode(err, problem.SizeInvalid) {
				t.Errorf("a smaller copy: %v", err)
			}
			copied.DiskBytes = 256 << 20
			if _, err := p.s.clone(t.Context(), backends.Source{VM: backends.Named(spec.Name), Snapshot: "nosuch"}, false, copied, nil); !problem.HasCode(err, problem.SnapshotNotFound) {
				t.Errorf("a snapshot that the volume does not have: %v", err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := p.s.clone(ctx, from, false, copied, nil); err == nil {
				t.Error("a cancelled clone succeeds")
			}
			if there, err := p.s.exists(t.Context(), copied.Name); there || err != nil {
				t.Errorf("left of what was refused: %v, %v", there, err)
			}

			made, err := p.s.clone(t.Context(), from, false, copied, nil)
			if err != nil {
				t.Fatal(err)
			}
			before, after := p.info(t, source.State), p.info(t, made.State)
			if after.Format != "qcow2" || after.Size != 256<<20 || after.Backing != "" || len(after.Snapshots) > 0 {
				t.Errorf("of %+v the copy is %+v", before, after)
			}
			if len(before.Snapshots) != 1 || mutable != (before.Backing != "") {
				t.Errorf("the source is changed: %+v", before)
			}
			if got := string(p.inside(t, made.Identity)); !strings.HasPrefix(got, "identity of "+copied.Name) {
				t.Errorf("the identity medium holds %q", got)
			}
			p.qemuIO(t, made.State, "read -P 1 1M 64k")
			p.qemuIO(t, made.State, "read -P 2 2M 64k")
			p.qemuIO(t, made.State, "write -P 3 1M 64k")
			p.qemuIO(t, source.State, "read -P 1 1M 64k")
			then := p.spec(fmt.Sprintf("then-%v", mutable))
			then.Mutable = mutable
			made, err = p.s.clone(t.Context(), backends.Source{VM: backends.Named(spec.Name), Snapshot: "kept"}, true, then, nil)
			if err != nil {
				t.Fatal(err)
			}
			if i := p.info(t, made.State); i.Size != 128<<20 || i.Backing != "" || len(i.Snapshots) > 0 {
				t.Errorf("the copy of a snapshot is %+v", i)
			}
			p.qemuIO(t, made.State, "read -P 1 1M 64k")
			p.qemuIO(t, made.State, "read -P 0 2M 64k")
			if err := p.s.remove(t.Context(), spec.Name); err != nil {
				t.Error(err)
			}
			if _, err := p.s.prepare(t.Context(), copied); err != nil {
				t.Errorf("without its source: %v", err)
			}
		})
	}
}

// A daemon that died while libvirtd copied: the next one removes the copy, which
// libvirtd goes on writing.
func TestACopyThatNobodyWaitsForIsRemoved(t *testing.T) {
	p := newPoolHost(t)
	source, err := p.s.create(t.Context(), p.spec("source"), nil)
	if err != nil {
		t.Fatal(err)
	}
	p.qemuIO(t, source.State, "write -P 1 0 120M")
	pool, err := p.s.lookup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	from, _, err := p.s.volume(t.Context(), pool, p.s.prefix("source")+"state")
	if err != nil {
		t.Fatal(err)
	}
	copying := make(chan error, 1)
	go func() {
		_, err := p.s.copyVolume(t.Context(), pool, from, p.s.prefix("copy")+"state", 128<<20)
		copying <- err
	}()
	for there := false; !there; {
		if there, err = p.s.exists(t.Context(), "copy"); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-copying:
			t.Fatalf("the copy was over before it was observed: %v", err)
		default:
		}
	}
	if err := p.s.remove(t.Context(), "copy"); err != nil {
		t.Error(err)
	}
	if err := <-copying; err != nil && !hasCode(err, golibvirt.ErrNoStorageVol) {
		t.Error(err)
	}
	if got := p.Virsh(t, "vol-list", ownPool); strings.Contains(got, "copy") {
		t.Errorf("the pool holds\n%s", got)
	}
}
