package flake

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/nixbuild"
)

// The root of the image has the links, where NixOS cannot make them, too; on a
// mutable guest they are made at boot.
func TestTheRootHasWhatProgramsOfOtherDistributionsExpect(t *testing.T) {
	links := map[string]map[string]string{}
	for _, mode := range nixbuild.Modes() {
		var s script
		if err := newNix(t).evalModules(t, &s, "skeleton", "", mode, "{ }"); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "out")
		bash(t, s.Script, "out="+out)
		links[mode] = linksBelow(t, out)
	}
	want := links[nixbuild.Immutable]
	for path, target := range map[string]string{
		"/bin/sh": "/nix/store/bash/bin/sh", "/bin/bash": "/nix/store/bashInteractive/bin/bash", "/usr/bin/env": "/nix/store/coreutils/bin/env",
		"/lib64/ld-linux-x86-64.so.2": "/nix/store/bash/nix-ld", "/usr/share/zoneinfo": "/etc/zoneinfo", "/sbin/hwclock": "/nix/store/util-linux/bin/hwclock",
	} {
		if want[path] != target {
			t.Errorf("%s leads to %q, want %q", path, want[path], target)
		}
	}
	for mode, got := range links {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", mode, diff)
		}
	}
	var made struct {
		Links    map[string]string
		Tmpfiles struct {
			Settings struct {
				Paths map[string]map[string]struct{ Argument string } `json:"nixvm-paths"`
			}
		}
	}
	if err := newNix(t).evalModules(t, &made, "golden", "", nixbuild.Mutable, "{ }"); err != nil {
		t.Fatal(err)
	}
	for path, target := range made.Links {
		if got := made.Tmpfiles.Settings.Paths[path]["L+"].Argument; got != target {
			t.Errorf("at boot %s is made to lead to %q, want %q", path, got, target)
		}
	}
}

func linksBelow(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		out[strings.TrimPrefix(path, root)], err = os.Readlink(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// linked finds the links in modules/paths.nix.
var linked = regexp.MustCompile(`(?m)^\s+"(/[^$"]+)" = `)

func TestTheManualSaysOfEachPathWhetherItIsThere(t *testing.T) {
	module, err := Files.ReadFile("modules/paths.nix")
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile("../../docs/nixos-images.md")
	if err != nil {
		t.Fatal(err)
	}
	found := linked.FindAllStringSubmatch(string(module), -1)
	if len(found) < 12 {
		t.Fatalf("found %d links", len(found))
	}
	for _, m := range found {
		if !regexp.MustCompile("(?m)^\\|[^|]*`" + regexp.QuoteMeta(m[1]) + "`[^|]*\\| yes").Match(manual) {
			t.Errorf("the manual does not say that there is %s", m[1])
		}
	}
}
