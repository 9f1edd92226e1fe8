package libvirt

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/libvirt/libvirttest"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// poolHost is a backend whose disks are in a pool, and an image of random bytes.
type poolHost struct {
	*libvirttest.Host
	b     *Backend
	s     *poolStorage
	image backends.Image
}

func newPoolHost(t *testing.T) *poolHost {
	t.Helper()
	h := libvirttest.Start(t)
	b, err := open(Config{Name: "pool", Layout: paths.Under(t.TempDir()), URI: h.URI, Pool: ownPool, Accel: "tcg"}, usualLimits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	dir := t.TempDir()
	p := &poolHost{Host: h, b: b, s: b.storage.(*poolStorage)} //nolint:forcetypeassert // of Pool
	p.image = backends.Image{ID: "img-1", Disk: filepath.Join(dir, "disk.qcow2"), Format: "qcow2", Kernel: filepath.Join(dir, "vmlinuz"), Initrd: filepath.Join(dir, "initrd")}
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", p.image.Disk, "64M").CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	for _, f := range []string{p.image.Kernel, p.image.Initrd} {
		data := make([]byte, 5<<20)
		_, _ = rand.Read(data)
		if err := os.WriteFile(f, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *poolHost) spec(name string) backends.Spec {
	return backends.Spec{Name: name, DiskBytes: 128 << 20, Identity: []byte("identity of " + name), Image: p.image}
}

// inside is a file of the host, as the test sees it.
func (p *poolHost) inside(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(p.onDisk(path))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (p *poolHost) onDisk(path string) string {
	return filepath.Join(p.Dir, "lib", strings.TrimPrefix(path, "/var/lib/libvirt"))
}

type diskInfo struct {
	Format  string `json:"format"`
	Size    int64  `json:"virtual-size"`
	Backing string `json:"backing-filename"`
	// Snapshots within it.
	Snapshots []struct {
		Name string `json:"name"`
	} `json:"snapshots"`
}

func (p *poolHost) info(t *testing.T, path string) (i diskInfo) {
	t.Helper()
	out, err := exec.Command("qemu-img", "info", "--output=json", p.onDisk(path)).Output()
	if err == nil {
		err = json.Unmarshal(out, &i)
	}
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestAnImageIsUploadedOnceAndDisksAreVolumes(t *testing.T) {
	p := newPoolHost(t)
	var uploaded int64
	var said []string
	report := func(u progress.Update) {
		uploaded = max(uploaded, u.Current)
		if u.Message != "" && !slices.Contains(said, u.Message) {
			said = append(said, u.Message)
		}
	}
	d, err := p.s.create(t.Context(), p.spec("one"), report)
	if err != nil {
		t.Fatal(err)
	}
	for there, here := range map[string]string{d.Boot: p.image.Disk, d.Kernel: p.image.Kernel, d.Initrd: p.image.Initrd} {
		want, _ := os.ReadFile(here)
		if !bytes.Equal(p.inside(t, there), want) {
			t.Errorf("%s is not what %s is", there, here)
		}
	}
	if uploaded != 5<<20 || !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, "defining the storage pool") }) {
		t.Errorf("told: %d bytes, %q", uploaded, said)
	}
	if i := p.info(t, d.State); i.Format != "qcow2" || i.Size != 128<<20 || i.Backing != "" {
		t.Errorf("the state disk is %+v", i)
	}
	isMarkedAsNew(t, p.onDisk(d.State))
	if got := string(p.inside(t, d.Identity)); !strings.HasPrefix(got, "identity of one") {
		t.Errorf("the identity medium holds %q", got)
	}

	// The next VM of the image, a mutable one: an overlay, and nothing is sent again.
	uploaded = 0
	two := p.spec("two")
	two.Mutable = true
	m, err := p.s.create(t.Context(), two, report)
	if err != nil {
		t.Fatal(err)
	}
	if i := p.info(t, m.State); uploaded != 0 || i.Backing != d.Boot || m.Boot != "" {
		t.Errorf("%d bytes were sent again; the disk is %+v", uploaded, i)
	}
	two.Name, two.DiskBytes = "small", 32<<20
	if _, err := p.s.create(t.Context(), two, nil); !problem.HasCode(err, problem.SizeInvalid) {
		t.Errorf("a disk smaller than its image: %v", err)
	}

	// At a start disks grow, never shrink, and the medium is written anew.
	one := p.spec("one")
	one.DiskBytes, one.Identity = 256<<20, []byte("generation 2")
	if d, err = p.s.prepare(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	if i := p.info(t, d.State); i.Size != 256<<20 || !strings.HasPrefix(string(p.inside(t, d.Identity)), "generation 2") {
		t.Errorf("after a start with more: %+v", i)
	}
	one.DiskBytes = 128 << 20
	if _, err := p.s.prepare(t.Context(), one); !problem.HasCode(err, problem.SizeInvalid) {
		t.Errorf("a smaller disk: %v", err)
	}

	c, err := p.b.link.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names, err := p.s.names(t.Context(), c)
	if err != nil || !maps.Equal(names, map[string]bool{"one": true, "two": true}) {
		t.Errorf("VMs with disks: %v, %v", names, err)
	}
	for _, name := range []string{"one", "two", "never-there"} {
		if err := p.s.remove(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	if got := p.Virsh(t, "vol-list", ownPool); strings.Contains(got, p.b.owner.ID) || strings.Count(got, "\n") != 3 {
		t.Errorf("what is left in the pool:\n%s", got)
	}
}

// isMarkedAsNew checks that the guest is told not to look for content on a disk.
func isMarkedAsNew(t *testing.T, disk string) {
	t.Helper()
	raw := filepath.Join(t.TempDir(), "raw")
	if out, err := exec.Command("qemu-img", "convert", "-O", "raw", disk, raw).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	content, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	head := backends.NewDiskHead()
	if !bytes.HasPrefix(content, head) || strings.Trim(string(content[len(head):]), "\x00") != "" {
		t.Errorf("%s is not what a new disk begins with: %q", disk, bytes.Trim(content, "\x00"))
	}
}

func TestAnUploadThatWasCutOffIsMadeAgain(t *testing.T) {
	p := newPoolHost(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cut := errors.New("cut off")
	_, err := p.s.create(ctx, p.spec("one"), func(u progress.Update) {
		if u.Current > 0 {
			cancel(cut)
		}
	})
	if !errors.Is(err, cut) {
		t.Fatalf("a cancelled upload: %v", err)
	}
	if got := p.Virsh(t, "vol-list", ownPool); strings.Contains(got, "complete") || strings.Contains(got, p.b.owner.ID) {
		t.Errorf("after it was cut off the pool holds\n%s", got)
	}
	d, err := p.s.create(t.Context(), p.spec("one"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := os.ReadFile(p.image.Kernel)
	if !bytes.Equal(p.inside(t, d.Kernel), want) {
		t.Error("the image is not complete")
	}
}

func TestAPoolThatIsNotThereIsNotMade(t *testing.T) {
	p := newPoolHost(t)
	s := newPoolStorage(p.b, "fast")
	_, err := s.create(t.Context(), p.spec("one"), nil)
	if e := problem.From(err); !problem.HasCode(err, problem.ConfigInvalid) || !strings.Contains(e.Hint, "pool-list") {
		t.Errorf("%v, hint %s", err, e.Hint)
	}
	if f := s.check(t.Context()); len(f) != 1 || f[0].Severity != backends.Fatal {
		t.Errorf("check: %v", f)
	}
	bad := p.spec("one")
	bad.Image.ID = "../img"
	if _, err := p.s.create(t.Context(), bad, nil); !problem.HasCode(err, problem.ImageUnsupported) {
		t.Errorf("an id that is a path: %v", err)
	}
	if got := fmt.Sprint(p.s.exists(t.Context(), "one")); got != "false <nil>" {
		t.Errorf("it exists: %s", got)
	}
}
