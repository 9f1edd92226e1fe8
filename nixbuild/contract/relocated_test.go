package contract_test

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/flake"
)

// chrooted ends the initrd of the trial guest as NixOS's initrd does: the programs
// run from a directory of their own, with their tools in another one, in a chroot
// on the root, and init is started when they have ended. The two directories stand
// for store paths; of the shared programs nothing else on the root is used.
const chrooted = `
$B mount -t tmpfs tmpfs /sysroot/opt
$B mkdir -p /sysroot/opt/guest /sysroot/opt/tools/bin
$B cp /relocated/* /sysroot/opt/guest/
$B chroot /sysroot /usr/bin/busybox sh -c 'ln -sf /usr/bin/* /usr/sbin/* /opt/tools/bin/'
for d in proc sys dev run; do $B mount -o bind /$d /sysroot/$d; done
$B chroot /sysroot /opt/guest/preinit
echo "nixvm: the programs in the chroot ended with $?" > /dev/console
for d in proc sys dev run; do $B umount /sysroot/$d; done
for d in proc sys dev run; do $B mount -o move /$d /sysroot/$d; done
exec $B switch_root /sysroot /usr/lib/nixvm/init
`

// bootedLikeNixOS returns the image with such an initrd.
func bootedLikeNixOS(t *testing.T, img nixbuild.Image) nixbuild.Image {
	t.Helper()
	work, dir := t.TempDir(), t.TempDir()
	init, err := os.ReadFile("../trial/initrd/init")
	if err != nil {
		t.Fatal(err)
	}
	// Up to where it hands over to the root.
	head, _, found := strings.Cut(string(init), "for d in proc sys dev run; do")
	if !found {
		t.Fatal("the initrd of the trial guest does not end as this test expects")
	}
	programs, err := flake.GuestPrograms(flake.OnState)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"init": head + chrooted, "relocated/mode": img.Mode + "\n"}
	for name, text := range programs {
		files["relocated/"+name] = relocated(t, text)
	}
	for name, text := range files {
		name = filepath.Join(work, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// The kernel unpacks one archive over the other.
	old, err := os.ReadFile(img.InitrdPath())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, img.Initrd), append(old, archive(t, work)...), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{img.DiskPath(), img.KernelPath()} {
		if err := os.Symlink(path, filepath.Join(dir, filepath.Base(path))); err != nil {
			t.Fatal(err)
		}
	}
	img.Dir = dir
	return img
}

func relocated(t *testing.T, text []byte) string {
	t.Helper()
	cmd := exec.Command("sed", "-f", "../flake/guest/relocate.sed")
	cmd.Stdin = bytes.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("@guest@", "/opt/guest", "@tools@", "/opt/tools").Replace(string(out))
}

// archive packs a directory for the kernel.
func archive(t *testing.T, dir string) []byte {
	t.Helper()
	cmd := exec.Command("cpio", "-o", "-H", "newc", "--quiet", "-R", "0:0")
	names, err := filepath.Glob(filepath.Join(dir, "relocated", "*"))
	if err != nil {
		t.Fatal(err)
	}
	list := "init\nrelocated\n"
	for _, name := range names {
		list += "relocated/" + filepath.Base(name) + "\n"
	}
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(list)
	packed, err := cmd.Output()
	if err != nil {
		t.Fatalf("cpio: %v", err)
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(packed); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
