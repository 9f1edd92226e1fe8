package libvirt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// exported is what a backup of a VM contains.
func (p *poolHost) exported(t *testing.T, name, snapshot string) (image []byte, size int64) {
	t.Helper()
	err := p.s.export(t.Context(), backends.Source{VM: backends.Named(name), Snapshot: snapshot}, func(d backends.Disk) (err error) {
		size = d.Size
		image, err = io.ReadAll(d)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return image, size
}

// same compares a disk that has been exported with a volume, as guests see them.
func (p *poolHost) same(t *testing.T, image []byte, volume string) {
	t.Helper()
	file := filepath.Join(p.Dir, "exported.qcow2")
	if err := os.WriteFile(file, image, 0o600); err != nil {
		t.Fatal(err)
	}
	p.Run(t, "qemu-img", "check", "-q", "-f", "qcow2", file)
	p.Run(t, "qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", file, volume)
}

func inMemory(image []byte, size int64) backends.Disk {
	return backends.Disk{Reader: bytes.NewReader(image), Bytes: int64(len(image)), Size: size}
}

func TestTheDiskInAVolumeIsExportedAndImported(t *testing.T) {
	p := newPoolHost(t)
	for _, mutable := range []bool{false, true} {
		t.Run(fmt.Sprintf("mutable=%v", mutable), func(t *testing.T) {
			spec := p.spec(fmt.Sprintf("source-%v", mutable))
			spec.Mutable = mutable
			source, err := p.s.create(t.Context(), spec, nil)
			if err != nil {
				t.Fatal(err)
			}
			p.qemuIO(t, source.State, "write -P 1 1M 9M")
			p.Run(t, "qemu-img", "snapshot", "-c", "kept", source.State)
			then, size := p.exported(t, spec.Name, "kept")
			p.same(t, then, source.State)
			p.qemuIO(t, source.State, "write -P 2 5M 1M")
			p.qemuIO(t, source.State, "write -z 1M 1M")
			now, _ := p.exported(t, spec.Name, "")
			p.same(t, now, source.State)
			if again, _ := p.exported(t, spec.Name, "kept"); size != spec.DiskBytes || !bytes.Equal(again, then) {
				t.Errorf("a disk of %d bytes; of the snapshot %d bytes, and later other %d", size, len(then), len(again))
			}

			copied := p.spec(fmt.Sprintf("copy-%v", mutable))
			copied.Mutable, copied.DiskBytes = mutable, 256<<20
			damaged := bytes.Clone(now)
			damaged[9] = 1
			if _, err := p.s.receive(t.Context(), copied, inMemory(damaged, size), nil); !problem.HasCode(err, problem.ArchiveInvalid) {
				t.Errorf("a damaged disk: %v", err)
			}
			if got := p.Virsh(t, "vol-list", ownPool); strings.Contains(got, copied.Name) {
				t.Errorf("left of a damaged disk:\n%s", got)
			}
			made, err := p.s.receive(t.Context(), copied, inMemory(now, size), nil)
			if err != nil {
				t.Fatal(err)
			}
			if i := p.info(t, made.State); i.Format != "qcow2" || i.Size != 256<<20 || i.Backing != "" {
				t.Errorf("the imported disk is %+v", i)
			}
			p.qemuIO(t, made.State, "read -P 2 5M 1M")

			p.rewritten(t, spec, source.State, then, size)
		})
	}
}

// rewritten restores what image is, which was exported at the snapshot "kept".
func (p *poolHost) rewritten(t *testing.T, spec backends.Spec, volume string, image []byte, size int64) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("cancelled")
	err := p.s.rewrite(ctx, spec.Name, inMemory(image, size), func(u progress.Update) {
		if u.Message == "replacing the disk" {
			cancel(stop)
		}
	})
	if !errors.Is(err, stop) {
		t.Errorf("cancelled while it is replaced: %v", err)
	}
	if got := p.Virsh(t, "list", "--all", "--name") + p.Virsh(t, "vol-list", ownPool); strings.Contains(got, "restored") {
		t.Errorf("left of what was cancelled:\n%s", got)
	}
	if err := p.s.rewrite(t.Context(), spec.Name, inMemory(image, size), nil); err != nil {
		t.Fatal(err)
	}
	p.same(t, image, volume)
	if i := p.info(t, volume); i.Size != spec.DiskBytes || len(i.Snapshots) != 1 {
		t.Errorf("the disk is %+v", i)
	}
	if out := p.Run(t, "qemu-img", "check", "-f", "qcow2", volume); strings.Contains(out, "ERROR") {
		t.Errorf("qemu-img check: %s", out)
	}
	larger := inMemory(image, 2*spec.DiskBytes)
	if err := p.s.rewrite(t.Context(), spec.Name, larger, nil); !problem.HasCode(err, problem.SizeInvalid) {
		t.Errorf("a larger disk: %v", err)
	}
	if got := p.Virsh(t, "list", "--all", "--name") + p.Virsh(t, "vol-list", ownPool); strings.Contains(got, "restored") {
		t.Errorf("left of what was restored:\n%s", got)
	}
}
