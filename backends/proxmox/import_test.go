package proxmox_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/qcow2"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
)

// laptopDisk is a state disk on its way to the cluster.
func laptopDisk(t testing.TB) []byte {
	t.Helper()
	image, err := io.ReadAll(qcow2.Plain([]byte("of the laptop"), 256<<20))
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func importOf(ctx context.Context, b backends.Backend, spec backends.Spec, image []byte) error {
	importer, err := backends.Require[backends.Importer](b, "import disks")
	if err != nil {
		return err
	}
	return importer.Import(ctx, spec, backends.Disk{Reader: bytes.NewReader(image), Bytes: int64(len(image)), Size: 256 << 20}, nil)
}

// Of an import, the state disk has the content that was uploaded, and nothing else stays
// on the cluster, of a mutable VM either.
func TestAnImportedDiskIsTheUploadedOne(t *testing.T) {
	w := newWorld(t, withAll(pvesim.Config{}))
	b, image := w.opened(t), laptopDisk(t)
	w.make(t, b, w.spec(t, "other"))
	before := w.left(t)
	for _, mutable := range []bool{false, true} {
		spec, key := w.spec(t, "moved"), "scsi1"
		if spec.Mutable = mutable; mutable {
			key = "scsi0"
		}
		if err := importOf(t.Context(), b, spec, image); err != nil {
			t.Fatal(err)
		}
		var id int
		if _, err := fmt.Sscan(w.idOf(t, "moved"), &id); err != nil {
			t.Fatal(err)
		}
		if got, want := w.sim.ReadDisk(id, key), fmt.Sprintf("sha256:%x", sha256.Sum256(image)); got != want {
			t.Errorf("mutable %t: the disk has %q, want %q", mutable, got, want)
		}
		if err := b.Start(t.Context(), spec); err != nil {
			t.Error(err)
		}
		if err := b.Destroy(t.Context(), spec.Ref()); err != nil {
			t.Error(err)
		}
		if after := w.left(t); !slices.Equal(before, after) {
			t.Errorf("mutable %t: it leaves %q, want %q", mutable, after, before)
		}
	}
}

// Requests of an import are lost in turn, before or after the server has done what they
// ask. What fails is repeated once.
func TestNothingIsLeftOfAnImportWhoseConnectionEnds(t *testing.T) { loseRequestsOfImport(t, 5) }

func loseRequestsOfImport(t *testing.T, step int) {
	for i, kind := range []pvesim.FaultKind{pvesim.DropBefore, pvesim.DropAfter} {
		w := newWorld(t, withAll(pvesim.Config{}))
		b, image, spec := w.quiet(t), laptopDisk(t), w.spec(t, "moved")
		t.Cleanup(func() { b.Close() })
		w.make(t, b, w.spec(t, "other"))
		before := w.left(t)
		for n, over := i, false; !over; n += step {
			w.sim.ResetRequests()
			w.sim.Inject(pvesim.Fault{Kind: kind, Skip: n, Times: 1})
			err := importOf(t.Context(), b, spec, image)
			over = len(w.sim.Requests()) <= n
			w.sim.Heal()
			if err != nil {
				if st, statusErr := b.Status(t.Context(), spec.Ref()); statusErr != nil || st.State == backends.Absent {
					err = importOf(t.Context(), b, spec, image)
				}
			}
			if err != nil {
				t.Errorf("%v of request %d: the second time: %v", kind, n, err)
			}
			if err := b.Destroy(t.Context(), spec.Ref()); err != nil {
				t.Error(err)
			}
			if after := w.left(t); !slices.Equal(before, after) {
				t.Errorf("%v of request %d leaves %q, want %q", kind, n, after, before)
			}
		}
	}
}

// Earlier versions had the identity medium in another drive, which a start takes away.
func TestAStartMovesTheIdentityMediumOutOfItsFormerDrive(t *testing.T) {
	w := newWorld(t, pvesim.Config{})
	b, spec := w.opened(t), w.spec(t, "demo")
	w.make(t, b, spec)
	c, config := w.api(t), "/nodes/pve1/qemu/"+w.idOf(t, "demo")+"/config"
	var conf map[string]any
	if err := c.Get(t.Context(), config, nil, &conf); err != nil {
		t.Fatal(err)
	}
	if err := c.Put(t.Context(), config, pve.Params{"ide2": conf["scsi2"].(string), "delete": "scsi2"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	conf = nil
	if err := c.Get(t.Context(), config, nil, &conf); err != nil || conf["ide2"] != nil || conf["scsi2"] == nil {
		t.Errorf("%v, %v", conf, err)
	}
}
