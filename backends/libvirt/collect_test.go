package libvirt

import (
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
)

// collected asks what becomes of the copies of images; the answer is empty for
// one that is removed.
func (p *poolHost) collected(t *testing.T, claimed string, dryRun bool) map[string]string {
	t.Helper()
	claim := func(string) (string, func(), error) { return claimed, func() {}, nil }
	list, err := p.b.CollectImages(t.Context(), claim, dryRun)
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, c := range list {
		if c.Bytes == 0 && c.ID == p.image.ID {
			t.Errorf("%s takes nothing", c.ID)
		}
		said[c.ID] = c.Kept
	}
	return said
}

func TestTheHostKeepsImagesThatAnybodyNeedsAndNoOthers(t *testing.T) {
	p := newPoolHost(t)
	if got := p.collected(t, "", false); len(got) != 0 {
		t.Errorf("a host without a pool has %v", got)
	}
	d, err := p.s.create(t.Context(), p.spec("one"), nil)
	if err != nil {
		t.Fatal(err)
	}
	kept := func(why string) {
		t.Helper()
		got, there := p.collected(t, "", false)[p.image.ID]
		if !there || why == "" || !strings.Contains(got, why) {
			t.Errorf("it is kept because %q, want %q", got, why)
		}
	}
	kept("recently")
	p.b.limits.uploaded = 0
	kept("nixvm-" + p.b.owner.ID + "-one.state is not a domain there")
	if err := p.s.remove(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}

	// A user's domain boots its kernel; a user's disk, which has no domain
	// yet, is an overlay on it; a machine here is made from it.
	p.Define(t, "define", `<domain type='qemu'><name>theirs</name><memory unit='MiB'>64</memory>
<os><type machine='q35'>hvm</type><kernel>`+d.Kernel+`</kernel></os></domain>`)
	kept("a domain there uses it")
	p.Virsh(t, "undefine", "theirs")
	p.Virsh(t, "vol-create-as", ownPool, "overlay.qcow2", "1G", "--format", "qcow2", "--backing-vol", d.Boot, "--backing-vol-format", "qcow2")
	kept("overlay.qcow2 is an overlay on it")
	p.Virsh(t, "vol-delete", "overlay.qcow2", ownPool)
	if got := p.collected(t, "used by demo", false)[p.image.ID]; got != "used by demo" {
		t.Errorf("what a machine here needs: %q", got)
	}

	p.Virsh(t, "vol-create-as", ownPool, "nixvm-image-half.disk", "1M") // an upload that was cut off
	p.Virsh(t, "vol-create-as", ownPool, "nixvm-image-no-suffix", "1M")
	for _, dryRun := range []bool{true, true, false} {
		got := p.collected(t, "", dryRun)
		if len(got) != 2 || got[p.image.ID] != "" || got["half"] != "" {
			t.Errorf("dry run %v: %v", dryRun, got)
		}
	}
	if got := p.Virsh(t, "vol-list", ownPool); strings.Contains(got, "half") || strings.Contains(got, p.image.ID) || !strings.Contains(got, "no-suffix") {
		t.Errorf("the pool holds\n%s", got)
	}
	if got := p.collected(t, "", false); len(got) != 0 {
		t.Errorf("the second time: %v", got)
	}
	if _, err := p.s.create(t.Context(), p.spec("two"), nil); err != nil {
		t.Errorf("an image that was removed is not uploaded again: %v", err)
	}
}

func TestFilesOfThisHostAreNoCopies(t *testing.T) {
	b := &Backend{limits: limits{uploaded: time.Hour}}
	b.storage = &localStorage{b: b}
	var host backends.ImageHost = b
	if got, err := host.CollectImages(t.Context(), nil, false); err != nil || got != nil {
		t.Errorf("%v, %v", got, err)
	}
}
