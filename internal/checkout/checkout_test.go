package checkout

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

// write makes files below a directory, from paths to their content.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for path, text := range files {
		path = filepath.Join(dir, path)
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		if err == nil {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func places(t testing.TB) Places {
	home := t.TempDir()
	return Places{Home: home, Config: filepath.Join(home, ".config"), Data: filepath.Join(home, ".local/share")}
}

func list(c *Checkout, p Places) string {
	var words []string
	for _, m := range c.Machines {
		disk := strings.TrimPrefix(strings.TrimPrefix(m.Disk, c.Dir), p.Home)
		words = append(words, fmt.Sprintf("%s %q %s %v", m.ID, m.Backend, disk, m.Mutable))
	}
	return strings.Join(words, "\n")
}

func TestMachinesOfEveryLayoutAreFound(t *testing.T) {
	for name, tt := range map[string]struct {
		checkout, home map[string]string
		dir            string // below home; empty = the checkout
		want           string
	}{
		"an early checkout": {
			checkout: map[string]string{
				"Justfile": "", "machines/demo/profile": "core", "machines/demo/hostname": "demo", "output/vms/demo/var.qcow2": "", "output/vms/demo/boot.qcow2": "",
				"machines/nodisk/uuid": "x", "machines/.git/profile": "", "machines/README": "",
			},
			want: "demo \"\" /output/vms/demo/var.qcow2 false\nnodisk \"\"  false",
		},
		"a later checkout": {
			checkout: map[string]string{"Justfile": ""},
			home: map[string]string{
				".config/nixos-vm-template/machines/libvirt/laptop/demo/profile":   "core",
				".config/nixos-vm-template/machines/libvirt/other/demo/profile":    "core,mutable",
				".config/nixos-vm-template/machines/proxmox/pve/demo/profile":      "core",
				".local/share/nixos-vm-template/vms/libvirt/laptop/demo/var.qcow2": "",
				".local/share/nixos-vm-template/vms/libvirt/other/demo/disk.qcow2": "",
				".local/share/nixos-vm-template/vms/demo/var.qcow2":                "",
			},
			want: "libvirt/laptop/demo \"libvirt\" /.local/share/nixos-vm-template/vms/libvirt/laptop/demo/var.qcow2 false\n" +
				"libvirt/other/demo \"libvirt\" /.local/share/nixos-vm-template/vms/libvirt/other/demo/disk.qcow2 true\nproxmox/pve/demo \"proxmox\"  false",
		},
		"its configuration directory": {
			home: map[string]string{
				".config/nixos-vm-template/machines/libvirt/laptop/demo/profile": "core",
				".local/share/nixos-vm-template/vms/demo/var.qcow2":              "",
			},
			dir:  ".config/nixos-vm-template",
			want: "libvirt/laptop/demo \"libvirt\" /.local/share/nixos-vm-template/vms/demo/var.qcow2 false",
		},
		"a directory of machines": {
			home: map[string]string{"ms/demo/hostname": "demo"},
			dir:  "ms",
			want: "demo \"\"  false",
		},
		"places of the .env file": {
			checkout: map[string]string{
				".env":     "# ours\nexport BACKEND=libvirt\nMACHINES_DIR='vms/m' # here\nOUTPUT_DIR=\"${HOME}/out\"\nUNKNOWN=$(rm -rf /)\n",
				"Justfile": "", "vms/m/demo/profile": "core", "machines/no/profile": "core",
			},
			home: map[string]string{"out/vms/demo/var.qcow2": ""},
			want: "demo \"\" /out/vms/demo/var.qcow2 false",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, dir := places(t), t.TempDir()
			write(t, dir, tt.checkout)
			write(t, p.Home, tt.home)
			if tt.dir != "" {
				dir = filepath.Join(p.Home, tt.dir)
			}
			c, err := Open(dir, p)
			if err != nil {
				t.Fatal(err)
			}
			if got := list(c, p); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestAMachineIsFoundByItsNameIfOnlyOneHasIt(t *testing.T) {
	p := places(t)
	dir := filepath.Join(p.Config, "nixos-vm-template")
	write(t, dir, map[string]string{"machines/libvirt/a/demo/profile": "", "machines/libvirt/b/demo/profile": "", "machines/libvirt/b/one/profile": ""})
	c, err := Open(dir, p)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"one": "libvirt/b/one", "libvirt/a/demo": "libvirt/a/demo", "demo": "several machines", "none": "no machine"} {
		m, err := c.Find(id)
		if got := m.ID + fmt.Sprint(err); !strings.Contains(got, want) {
			t.Errorf("%s: %s", id, got)
		}
	}
}

func TestWhatIsNoCheckoutIsRefusedWithItsPlace(t *testing.T) {
	for name, tt := range map[string]struct {
		make func(t *testing.T, dir string)
		want string
	}{
		"nothing":              {func(*testing.T, string) {}, "has no machines"},
		"a bad line":           {func(t *testing.T, dir string) { write(t, dir, map[string]string{".env": "\nBACKEND libvirt\n"}) }, ".env:2:"},
		"a command":            {func(t *testing.T, dir string) { write(t, dir, map[string]string{".env": "OUTPUT_DIR=$(pwd)\n"}) }, ".env:1: OUTPUT_DIR"},
		"open quotation marks": {func(t *testing.T, dir string) { write(t, dir, map[string]string{".env": "HOST=\"a\n"}) }, ".env:1: HOST"},
		"control characters":   {func(t *testing.T, dir string) { write(t, dir, map[string]string{".env": "HOST=a\x1bb\n"}) }, ".env:1: HOST"},
		"a huge .env": {func(t *testing.T, dir string) {
			write(t, dir, map[string]string{".env": strings.Repeat("#", maxEnv+1)})
		}, "is longer than"},
		"a fifo": {func(t *testing.T, dir string) {
			if err := unix.Mkfifo(filepath.Join(dir, ".env"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "not a regular file"},
		"a link": {func(t *testing.T, dir string) {
			if err := os.Symlink("/etc/passwd", filepath.Join(dir, ".env")); err != nil {
				t.Fatal(err)
			}
		}, "too many levels of symbolic links"},
		"links to machines": {func(t *testing.T, dir string) {
			write(t, dir, map[string]string{"elsewhere/demo/profile": "", "machines/x": ""})
			if err := os.Symlink(filepath.Join(dir, "elsewhere/demo"), filepath.Join(dir, "machines/demo")); err != nil {
				t.Fatal(err)
			}
		}, "has no machines"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tt.make(t, dir)
			_, err := Open(dir, places(t))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	_, err := Open("/etc/hostname", places(t))
	if !problem.HasCode(err, problem.BadParams) {
		t.Errorf("a file: %v", err)
	}
}

func TestTheConfigurationIsThatOfTheEnvFile(t *testing.T) {
	for env, want := range map[string]string{
		"":                                     "",
		"HOST=laptop":                          "",
		"BACKEND=libvirt":                      "[backends.libvirt]\ntype = \"libvirt\"\nuri = \"qemu:///system\"\n",
		"LIBVIRT_URI=qemu+ssh://me@lab/system": "[backends.libvirt]\ntype = \"libvirt\"\nuri = \"qemu+ssh://me@lab/system\"\n",
		"BACKEND=proxmox\nPVE_HOST=pve\nPVE_STORAGE='a\"b'": "# BACKEND=proxmox: these VMs are not on this computer.\n# pve_host = \"pve\"\n# pve_storage = \"a\\\"b\"\n",
	} {
		dir := t.TempDir()
		write(t, dir, map[string]string{".env": env, "machines/demo/profile": ""})
		c, err := Open(dir, places(t))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Config(); got != want {
			t.Errorf("%q: got\n%s", env, got)
		}
	}
}

func FuzzEnv(f *testing.F) {
	f.Add("export A=b\nBACKEND='x' # y\nHOST=\"${HOME}/z\"\n")
	path := filepath.Join(f.TempDir(), ".env")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := readEnv(path, "/home/x")
		if err != nil {
			return
		}
		for key, value := range s {
			if strings.ContainsFunc(value, unicode.IsControl) || strings.ContainsAny(value, "$`\\") {
				t.Errorf("%s = %q", key, value)
			}
		}
	})
}
