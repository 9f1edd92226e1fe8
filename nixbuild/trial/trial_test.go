package trial

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
	"github.com/nixvm/nixvm/nixbuild"
)

func TestTheIDNamesWhatIsBuilt(t *testing.T) {
	b := New(t.TempDir())
	id := func(b *Builder, mode string, profiles ...string) string {
		t.Helper()
		got, err := b.ID(nixbuild.Request{Mode: mode, Profiles: profiles})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	same := id(b, "", "dev", "claude")
	if got := id(b, nixbuild.Immutable, "claude", "core", "dev"); got != same {
		t.Errorf("the same image has two ids: %s, %s", got, same)
	}
	seen := map[string]bool{same: true}
	for _, other := range []string{
		id(b, nixbuild.Immutable), id(b, nixbuild.Immutable, "dev"), id(b, nixbuild.SemiMutable, "dev"), id(b, nixbuild.Mutable, "dev"),
		id(NewTiny(t.TempDir()), nixbuild.Immutable, "dev"),
	} {
		if seen[other] {
			t.Errorf("two images have the id %s", other)
		}
		seen[other] = true
	}
}

func TestWhatTheTrialGuestDoesNotHaveIsRefused(t *testing.T) {
	b := New(t.TempDir())
	tests := map[string]struct {
		req  nixbuild.Request
		want problem.Code
	}{
		"a profile of NixOS only": {nixbuild.Request{Profiles: []string{"docker"}}, problem.ProfileUnknown},
		"no profile at all":       {nixbuild.Request{Profiles: []string{"no-such"}}, problem.ProfileUnknown},
		"an unknown mode":         {nixbuild.Request{Mode: "melted"}, problem.ModeUnsupported},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := b.ID(tt.req); !problem.HasCode(err, tt.want) || problem.From(err).Hint == "" {
				t.Errorf("got %v with hint %q", err, problem.From(err).Hint)
			}
		})
	}
}

// plans is one of every shape of image.
func plans(t *testing.T) []plan {
	t.Helper()
	var out []plan
	for _, kind := range []string{kindTrial, kindTiny} {
		for _, mode := range nixbuild.Modes() {
			p, err := newPlan(kind, nixbuild.Request{Mode: mode, Profiles: []string{"claude"}}, suites[0])
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, p)
		}
	}
	return out
}

func TestOverlayFilesBelongToRootAndProgramsCanRun(t *testing.T) {
	for _, p := range plans(t) {
		entries, err := p.overlayEntries("image-id")
		if err != nil {
			t.Fatal(err)
		}
		var buf bytes.Buffer
		if err := writeOverlay(&buf, entries); err != nil {
			t.Fatal(err)
		}
		found := map[string]*tar.Header{}
		for r := tar.NewReader(&buf); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Uid != 0 || h.Gid != 0 || path.IsAbs(h.Name) || strings.Contains(h.Name, "..") {
				t.Errorf("%s: owner %d:%d", h.Name, h.Uid, h.Gid)
			}
			if found[h.Name] != nil {
				t.Errorf("%s is there twice", h.Name)
			}
			found[h.Name] = h
		}
		for name, mode := range map[string]int64{
			"usr/lib/nixvm/preinit": 0o755, "usr/lib/nixvm/firewall": 0o755, "usr/lib/nixvm/disk.sh": 0o644,
			"etc/sudoers.d/admin": 0o440, "usr/lib/nixvm/block-private": 0o644, "etc/nixos-image-version": 0o644,
		} {
			if h := found[name]; h == nil || h.Mode != mode {
				t.Errorf("%s %s: %s is %+v, want mode %o", p.kind, p.mode, name, h, mode)
			}
		}
	}
}

func TestTheGuestsScriptsParse(t *testing.T) {
	if _, err := exec.LookPath("busybox"); err != nil {
		t.Fatal("this test needs busybox\n  sudo apt-get install busybox-static")
	}
	for _, p := range plans(t) {
		entries, err := p.overlayEntries("")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasPrefix(string(e.content), "#!/usr/bin/busybox sh") && !strings.HasSuffix(e.name, ".sh") {
				continue
			}
			cmd := exec.Command("busybox", "sh", "-n")
			cmd.Stdin = bytes.NewReader(e.content)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", e.name, err, out)
			}
		}
	}
}

func TestProgressOfPackagesNeverGoesBack(t *testing.T) {
	var got []progress.Update
	c := &packageCounter{report: func(u progress.Update) { got = append(got, u) }}
	lines := []string{"Get:1 archive InRelease", "0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded."}
	for range 2 {
		lines = append(lines, "Get:1 package", "Get:2 package")
		lines = append(lines, "Setting up a (1) ...", "Unpacking b (1) ...", "Setting up b (1) ...", "0 upgraded, 300 newly installed, 0 to remove and 0 not upgraded.")
	}
	for _, l := range lines {
		c.update(progress.Update{Vertex: vertex, Log: l})
	}
	var last, total int64
	logs, counts := 0, 0
	for _, u := range got {
		if u.Log != "" {
			logs++
			continue
		}
		counts++
		if u.Current <= last || u.Total < total || u.Current > u.Total {
			t.Errorf("%d of %d after %d of %d", u.Current, u.Total, last, total)
		}
		last, total = u.Current, u.Total
	}
	if logs != len(lines) || counts != 8 {
		t.Errorf("%d log lines of %d, %d counts, want 8", logs, len(lines), counts)
	}
	if want := int64(2 * (2 + 300 + 300)); c.total() != want {
		t.Errorf("the total is %d, want %d", c.total(), want)
	}
}

func TestModulesAreLoadedAfterWhatTheyNeed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "usr/lib/modules/6.1")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	deps := "kernel/a/virtio_blk.ko: kernel/b/virtio_ring.ko kernel/b/virtio.ko\nkernel/b/virtio.ko:\n"
	if err := os.WriteFile(filepath.Join(dir, "modules.dep"), []byte(deps), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := kernelModules(filepath.Join(dir, "../../../.."))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"kernel/b/virtio.ko", "kernel/b/virtio_ring.ko", "kernel/a/virtio_blk.ko"}, m.closure("virtio_blk")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := m.closure("built_in"); got != nil {
		t.Errorf("a driver that is no module needs %v", got)
	}
}

func TestTheInitrdIsAnArchiveThatCpioReads(t *testing.T) {
	if _, err := exec.LookPath("cpio"); err != nil {
		t.Fatal("this test needs cpio\n  sudo apt-get install cpio")
	}
	var buf bytes.Buffer
	c := &cpioWriter{w: &buf}
	c.dir("bin")
	c.file("bin/a", 0o755, []byte("odd"))
	c.file("b", 0o644, nil)
	c.trailer()
	if c.err != nil {
		t.Fatal(c.err)
	}
	cmd := exec.Command("cpio", "-tv", "--quiet")
	cmd.Stdin = &buf
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got []string
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		got = append(got, f[0]+" "+f[4]+" "+f[len(f)-1])
	}
	want := []string{"drwxr-xr-x 0 bin", "-rwxr-xr-x 3 bin/a", "-rw-r--r-- 0 b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAToolThatFailsSaysItsLastWords(t *testing.T) {
	var lines []string
	tl := tool{report: func(u progress.Update) { lines = append(lines, u.Log) }}
	err := tl.run(t.Context(), "", "ls", "/nonexistent-of-this-test")
	if !problem.HasCode(err, problem.ImageBuildFailed) || !strings.Contains(err.Error(), "No such file") {
		t.Errorf("got %v", err)
	}
	if len(lines) == 0 {
		t.Error("its output was not reported")
	}
	if err := tl.run(t.Context(), "", "cat", "/nonexistent: No space left on device"); !problem.HasCode(err, problem.DiskFull) {
		t.Errorf("a full disk: %v", err)
	}
}
