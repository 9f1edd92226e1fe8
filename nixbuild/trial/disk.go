package trial

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/nixvm/nixvm/nixbuild"
)

const (
	mib     = 1 << 20
	espMiB  = 64
	rootAt  = (1 + espMiB) * mib
	diskOut = "disk.qcow2"
)

// diskStep turns a root tree's tar into the files of an image. work holds what
// is only needed for a moment; dir is the image's directory.
type diskStep struct {
	plan
	tool
	work, dir, imageID string
}

func (d *diskStep) tree() string { return filepath.Join(d.work, "tree") }
func (d *diskStep) raw() string  { return filepath.Join(d.work, "disk.raw") }

// dpkgStatus is the file in the tree that lists the installed packages.
func (d *diskStep) dpkgStatus() string {
	dir := "usr/lib/nixvm/dpkg" // see unpack
	if d.mode == nixbuild.Mutable {
		dir = "var/lib/dpkg"
	}
	return filepath.Join(d.tree(), dir, "status")
}

// fakeroot makes the programs of a plain user see the owners of the guest's
// files: one session file carries them from tar to mke2fs.
func (d *diskStep) fakeroot() (tool, error) {
	t := d.tool
	if os.Getuid() == 0 {
		return t, nil
	}
	session := filepath.Join(d.work, "fakeroot")
	if err := os.WriteFile(session, nil, 0o600); err != nil {
		return t, err
	}
	t.prefix = []string{"fakeroot", "-i", session, "-s", session, "--"}
	return t, nil
}

func (d *diskStep) unpack(ctx context.Context, as tool, rootTar string) error {
	if err := os.Mkdir(d.tree(), 0o755); err != nil {
		return err
	}
	args := []string{"--numeric-owner", "-C", d.tree(), "--exclude=./dev/*", "--exclude=./boot/initrd*"}
	if d.mode != nixbuild.Mutable {
		// /var comes from the state disk; what is installed belongs to the image.
		args = append(args, "--transform=flags=r;s,^\\./var/lib/dpkg,./usr/lib/nixvm/dpkg,")
	}
	if d.kind == kindTiny {
		for _, dir := range tinyExcludes {
			args = append(args, "--exclude="+dir)
		}
	}
	if err := as.run(ctx, "", "tar", append(args, "-xf", rootTar)...); err != nil {
		return err
	}
	entries, err := d.overlayEntries(d.imageID)
	if err != nil {
		return err
	}
	overlay := filepath.Join(d.work, "overlay.tar")
	f, err := os.Create(overlay)
	if err != nil {
		return err
	}
	if err := writeOverlay(f, entries); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return as.run(ctx, "", "tar", "--numeric-owner", "--no-overwrite-dir", "-C", d.tree(), "-xf", overlay)
}

// bootFiles puts kernel and initrd into dir and takes them out of the tree.
func (d *diskStep) bootFiles() error {
	kernels, err := filepath.Glob(filepath.Join(d.tree(), "boot", "vmlinuz-*"))
	if err != nil || len(kernels) != 1 {
		return fmt.Errorf("the root tree has %d kernels, want 1", len(kernels))
	}
	if err := copyFile(filepath.Join(d.dir, "vmlinuz"), kernels[0]); err != nil {
		return err
	}
	if err := os.Remove(kernels[0]); err != nil {
		return err
	}
	initrd, err := makeInitrd(d.tree())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.dir, "initrd"), initrd, 0o644)
}

// assemble makes the disk: GPT, ESP with systemd-boot, root.
func (d *diskStep) assemble(ctx context.Context, as tool) error {
	used, entries, err := dirSize(d.tree())
	if err != nil {
		return err
	}
	// The file system's own tables take about 3 %; a mutable root gets room for
	// its first boot and grows to its disk.
	rootMiB := (used+used/16+entries*256)/mib + 32
	if d.mode == nixbuild.Mutable {
		rootMiB += 512
	}
	size := rootAt + (rootMiB+1)*mib
	if err := os.WriteFile(d.raw(), nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(d.raw(), size); err != nil {
		return err
	}
	table := fmt.Sprintf("label: gpt\nstart=1MiB, size=%dMiB, type=U, name=ESP\nstart=%dMiB, size=%dMiB, type=L, name=root\n", espMiB, 1+espMiB, rootMiB)
	if err := d.run(ctx, table, "sfdisk", "-q", d.raw()); err != nil {
		return err
	}
	if err := d.esp(ctx); err != nil {
		return err
	}
	journal := "^has_journal"
	if d.mode == nixbuild.Mutable {
		journal = "has_journal"
	}
	if err := as.run(ctx, "", "mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-O", journal, "-m", "0",
		"-E", fmt.Sprintf("offset=%d,lazy_itable_init=1,nodiscard,root_owner=0:0", rootAt),
		"-d", d.tree(), d.raw(), strconv.FormatInt(rootMiB, 10)+"M"); err != nil {
		return err
	}
	return d.run(ctx, "", "qemu-img", "convert", "-f", "raw", "-O", "qcow2", d.raw(), filepath.Join(d.dir, diskOut))
}

// esp fills the EFI system partition with mtools: no mount.
func (d *diskStep) esp(ctx context.Context) error {
	img := filepath.Join(d.work, "esp.img")
	if err := os.WriteFile(img, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(img, espMiB*mib); err != nil {
		return err
	}
	if err := d.run(ctx, "", "mkfs.vfat", "-F", "32", "-n", "ESP", img); err != nil {
		return err
	}
	entry := "title nixvm\nlinux /nixvm/vmlinuz\ninitrd /nixvm/initrd\noptions " + d.cmdline() + "\n"
	files := map[string]string{"loader.conf": "timeout 0\ndefault nixvm.conf\n", "nixvm.conf": entry}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(d.work, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	mtools := d.tool
	mtools.env = append(mtools.env, "MTOOLS_SKIP_CHECK=1")
	if err := mtools.run(ctx, "", "mmd", "-i", img, "::EFI", "::EFI/BOOT", "::loader", "::loader/entries", "::nixvm"); err != nil {
		return err
	}
	for _, c := range [][2]string{
		{filepath.Join(d.tree(), "usr/lib/systemd/boot/efi/systemd-bootx64.efi"), "::EFI/BOOT/BOOTX64.EFI"},
		{filepath.Join(d.work, "loader.conf"), "::loader/loader.conf"},
		{filepath.Join(d.work, "nixvm.conf"), "::loader/entries/nixvm.conf"},
		{filepath.Join(d.dir, "vmlinuz"), "::nixvm/vmlinuz"},
		{filepath.Join(d.dir, "initrd"), "::nixvm/initrd"},
	} {
		if err := mtools.run(ctx, "", "mcopy", "-i", img, c[0], c[1]); err != nil {
			return err
		}
	}
	return copyInto(d.raw(), img, 1*mib)
}

// copyInto writes the file from at the offset of a sparse file, leaving holes
// where it holds zeros.
func copyInto(to, from string, offset int64) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer dst.Close()
	buf, zero := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(src, buf)
		if n > 0 && string(buf[:n]) != string(zero[:n]) {
			if _, err := dst.WriteAt(buf[:n], offset); err != nil {
				return err
			}
		}
		offset += int64(n)
		if err != nil {
			break // a shorter read is the end of the file
		}
	}
	return dst.Close()
}

func copyFile(to, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

// virtualSize asks qemu-img, the judge of what a disk image is.
func virtualSize(ctx context.Context, file string) (int64, error) {
	out, err := exec.CommandContext(ctx, "qemu-img", "info", "--output=json", file).Output()
	if err != nil {
		return 0, fmt.Errorf("qemu-img info: %w", err)
	}
	var info struct {
		VirtualSize int64 `json:"virtual-size"`
	}
	return info.VirtualSize, json.Unmarshal(out, &info)
}
