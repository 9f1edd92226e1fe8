package vm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends/all"
	"github.com/nixvm/nixvm/internal/problem"
)

func loadText(t testing.TB, text string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadConfig(path, all.Drivers())
}

func TestNoConfigIsTheDefaultConfig(t *testing.T) {
	c, err := LoadConfig(filepath.Join(t.TempDir(), "config.toml"), all.Drivers())
	if err != nil || c.DefaultBackend != "qemu" || c.Backends["qemu"].Type != "qemu" || c.Defaults.Memory != 2048 || c.Defaults.DiskBytes() != 20<<30 || c.warnBelow() != 2<<30 {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestConfigIsRefusedWithItsPlace(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"an unknown setting":       {"[defaults]\nmemry = 1\n", "config.toml:2"},
		"a syntax error":           {"[defaults\n", "config.toml:1"},
		"a wrong type":             {"[defaults]\n\nmemory = \"much\"\n", "config.toml:3"},
		"an unknown backend type":  {"[backends.a]\ntype = \"xen\"\n", `type "xen"`},
		"a libvirt URI by TCP":     {"[backends.a]\ntype = \"libvirt\"\nuri = \"qemu+tcp://h/system\"\n", "qemu+tcp"},
		"a URI for qemu":           {"[backends.a]\ntype = \"qemu\"\nuri = \"qemu:///system\"\n", "config.toml:3: a backend of this type has no setting \"backends.a.uri\""},
		"a number for a word":      {"[backends.b]\ntype = \"libvirt\"\n[backends.a]\ntype = \"qemu\"\naccel = 1\n", "config.toml:5:"},
		"a misspelt key of two":    {"default_backend = \"a\"\n[backends.a]\ntype = \"qemu\"\n[backends.b]\ntype = \"libvirt\"\nuir = \"\"\n", "config.toml:6"},
		"an unknown table":         {"[backend.a]\ntype = \"qemu\"\n", "config.toml:1"},
		"autostart of a session":   {"[backends.a]\ntype = \"libvirt\"\nuri = \"qemu:///session\"\nautostart = true\n", "autostart"},
		"a network of a backend":   {"[backends.a]\ntype = \"qemu\"\ndefault_network = \"bridge:../x\"\n", "default_network"},
		"a bridge of a session":    {"[backends.a]\ntype = \"libvirt\"\nuri = \"qemu:///session\"\ndefault_network = \"bridge:br0\"\n", "default_network"},
		"a default network":        {"[defaults]\nnetwork = \"macvtap\"\n", "defaults.network"},
		"an unknown accelerator":   {"[backends.a]\ntype = \"qemu\"\naccel = \"warp\"\n", `accel "warp"`},
		"a default that is not":    {"default_backend = \"b\"\n[backends.a]\ntype = \"qemu\"\n", `"b"`},
		"two and no default":       {"[backends.a]\ntype = \"qemu\"\n[backends.b]\ntype = \"qemu\"\n", "default_backend"},
		"a backend name as a path": {"[backends.\"../a\"]\ntype = \"qemu\"\n", "../a"},
		"a bad size":               {"[defaults]\ndisk = \"1.5Q\"\n", "defaults.disk"},
		"a warning that is none":   {"[space]\nwarn_below = \"soon\"\n", "space.warn_below"},
		"a warning too late":       {"[space]\nwarn_below = \"63M\"\n", "less than 64M"},
		"a bad mode":               {"[defaults]\nmode = \"liquid\"\n", "defaults.mode"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadText(t, c.text)
			wantProblem(t, err, problem.ConfigInvalid)
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q does not say %q", err, c.want)
			}
		})
	}
}

func FuzzLoadConfig(f *testing.F) {
	f.Add("default_backend = \"a\"\n[backends.a]\ntype = \"qemu\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := loadText(t, text)
		if err == nil && c.Backends[c.DefaultBackend].Type == "" {
			t.Errorf("accepted without a default backend: %+v", c)
		}
	})
}
