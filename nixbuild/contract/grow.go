package contract

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/nixbuild"
)

// GrowDisk is the program of the guest that gives its file system all of an enlarged
// disk.
const GrowDisk = "/etc/nixvm/grow-disk"

// growChecks are about the size of the disk with the state, and about what of it is
// free.
var growChecks = []check{
	{name: "the program that fills an enlarged disk is root's", since: 2, run: func(t *testing.T, g *guest) { g.isRoots(t, GrowDisk) }},
	{name: "a disk that is enlarged while the guest runs is filled", since: 2, run: func(t *testing.T, g *guest) {
		needs(t, g.Grow != nil, "how to enlarge the disk")
		needs(t, g.Agent != nil, "how to reach the guest agent")
		size, err := g.Grow(stepContext(t))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		g.grows(t, size)
		t.Logf("%.1f s", time.Since(began).Seconds())
		fills(g.stateDir())(t, g)
		g.grows(t, size) // nothing is left to do
	}},
	{name: "free blocks are given back to the host every week", run: func(t *testing.T, g *guest) {
		out, status := output(t, g.admin, "[ -d /run/systemd/system ] || exit 77; systemctl is-enabled fstrim.timer && systemctl is-active fstrim.timer")
		if status == 77 {
			t.Skip("the guest does not run systemd")
		}
		if strings.Fields(out)[len(strings.Fields(out))-1] != "active" {
			t.Fatalf("fstrim.timer is %q", out)
		}
		g.must(t, "sudo systemctl start fstrim.service")
		log := g.must(t, "sudo journalctl --boot --quiet --output=cat --unit=fstrim.service")
		if !strings.Contains(log, g.stateDir()+": ") || !strings.Contains(log, "trimmed on ") {
			t.Errorf("fstrim.service says: %s", log)
		}
	}},
}

// stateDir is where the file system with the state is mounted.
func (g *guest) stateDir() string {
	if g.Mode == nixbuild.Mutable {
		return "/"
	}
	return "/var"
}

// grows runs the program, which has to say that the disk has that size. The guest may
// take a moment to notice a new one.
func (g *guest) grows(t *testing.T, size int64) {
	t.Helper()
	ctx := stepContext(t)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		out, status := g.runs(t, GrowDisk)
		if status == 0 && strings.HasSuffix(strings.TrimSpace(out), fmt.Sprintf("size %d", size)) {
			return
		}
		if status != 0 || !strings.Contains(out, "size ") {
			t.Fatalf("exit status %d: %s; want size %d", status, out, size)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it says %s; want size %d", out, size)
		}
	}
}
