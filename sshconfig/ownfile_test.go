package sshconfig

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/internal/paths"
)

var update = flag.Bool("update", false, "write the goldens anew")

// The goldens are what a user finds on disk; a change there should be meant.
func TestOwnFilesGolden(t *testing.T) {
	for name, o := range map[string]Options{
		"proxy":  {Executable: "/opt/nix vm/bin/nixvmd", ProxyArgs: []string{"--home", "/srv/50%"}},
		"direct": {Style: Direct, Prefix: "vm-"},
	} {
		t.Run(name, func(t *testing.T) {
			o.Layout, o.UserConfig = paths.Layout{State: "/home/me/.local/state/nixvm", Runtime: "/run/user/1000/nixvm"}, "/home/me/.ssh/config"
			c := &Config{opts: o, dir: o.Layout.SSH(), recent: func() bool { return true }}
			if c.opts.Style == "" {
				c.opts.Style = Proxy
			}
			if err := c.check(); err != nil {
				t.Fatal(err)
			}
			h := host("demo")
			h.Endpoint = "127.0.0.1:40022"
			h.Forwards = []Forward{{Listen: "8080", Target: "localhost:3000"}, {Listen: "/run/held.sock", Target: "/run/host.sock"}}
			ch := &change{blocks: blocksOf(c, []Host{h})}
			own := ch.own([]Host{h})
			got := strings.Join([]string{c.IncludeLine() + "\n", string(own.config), string(own.knownHosts)}, "---\n")
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(read(t, golden), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestSplitIsTheOppositeOfRender(t *testing.T) {
	c := newConfig(t)
	blocks := blocksOf(c, hosts("a", "b", "c"))
	got := split(render(blocks))
	if len(got) != len(blocks) {
		t.Errorf("%d blocks, want %d", len(got), len(blocks))
	}
	for _, b := range blocks {
		if got[b.alias] != b.text {
			t.Errorf("%s: %q, want %q", b.alias, got[b.alias], b.text)
		}
	}
	for _, data := range []string{"", "\n", header, "Host", "Host ", "Host \n", "nonsense"} {
		split([]byte(data)) // any content that a user may have given our file
	}
}

// The user edits our file: the entry counts as changed and is written again.
func TestHandEditedEntryIsRepaired(t *testing.T) {
	c := newConfig(t)
	mustApply(t, c, hosts("a", "b")...)
	want := read(t, c.ConfigFile())
	broken := strings.Replace(want, "HostKeyAlias", "# HostKeyAlias", 1)
	if err := os.WriteFile(c.ConfigFile(), []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	if res := mustApply(t, c, hosts("a", "b")...); len(res.Written) != 1 {
		t.Errorf("written %v", res.Written)
	}
	if got := read(t, c.ConfigFile()); got != want {
		t.Errorf("got\n%s", got)
	}
}
