package trial

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"
	"time"

	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/flake"
)

// overlayEntry is one file that we add to the guest. All belong to root.
type overlayEntry struct {
	name    string
	mode    int64
	content []byte
	link    string // symlink target, if it is one
}

// enabled units, as systemctl would link them.
var enabled = []struct{ target, unit string }{
	{"sysinit.target.wants", "/etc/systemd/system/firewall-ports.service"},
	{"sysinit.target.wants", "/lib/systemd/system/systemd-timesyncd.service"},
	{"multi-user.target.wants", "/lib/systemd/system/systemd-networkd.service"},
	{"sockets.target.wants", "/lib/systemd/system/systemd-networkd.socket"},
	{"multi-user.target.wants", "/lib/systemd/system/ssh.service"},
	{"multi-user.target.wants", "/etc/systemd/system/nixvm-resolv.path"},
	{"timers.target.wants", "/lib/systemd/system/fstrim.timer"},
}

// masked units write to a read-only root, do what preinit has done, or only
// cost boot time in a VM that is rebuilt rather than maintained.
var masked = []string{
	"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
	"getty@tty1.service", "keyboard-setup.service", "console-setup.service", "nftables.service",
	"rsync.service", "systemd-firstboot.service", "systemd-machine-id-commit.service",
	"systemd-networkd-wait-online.service", "systemd-pstore.service", "systemd-remount-fs.service",
	"systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "tmp.mount",
	"systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount", "proc-sys-fs-binfmt_misc.mount", "dev-hugepages.mount",
	"sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount", "modprobe@configfs.service",
	"modprobe@drm.service", "modprobe@efi_pstore.service",
}

// overlayEntries returns everything that the plan adds to the root tree, sorted.
func (p plan) overlayEntries(imageID string) ([]overlayEntry, error) {
	all := map[string]overlayEntry{}
	put := func(e overlayEntry) { all[e.name] = e }
	programs, err := flake.GuestPrograms(p.places())
	if err != nil {
		return nil, err
	}
	for name, data := range programs {
		name = "usr/lib/nixvm/" + name
		put(overlayEntry{name: name, mode: fileMode(name, data), content: data})
	}
	for _, layer := range p.layers() {
		root := "overlay/" + layer
		err := fs.WalkDir(recipe, root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := recipe.ReadFile(name)
			rel := strings.TrimPrefix(name, root+"/")
			put(overlayEntry{name: rel, mode: fileMode(rel, data), content: data})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	for _, e := range p.generated(imageID) {
		put(e)
	}
	out := make([]overlayEntry, 0, len(all))
	for _, e := range all {
		out = append(out, e)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].name < out[j].name })
	return out, nil
}

// fileMode: programs start with "#!"; sudo wants its file closed.
func fileMode(name string, data []byte) int64 {
	switch {
	case strings.HasPrefix(name, "etc/sudoers.d/"):
		return 0o440
	case strings.HasPrefix(string(data), "#!"):
		return 0o755
	}
	return 0o644
}

// generated returns the files and links that depend on the plan.
func (p plan) generated(imageID string) []overlayEntry {
	text := func(name, content string) overlayEntry {
		return overlayEntry{name: name, mode: 0o644, content: []byte(content)}
	}
	link := func(name, target string) overlayEntry { return overlayEntry{name: name, link: target} }
	out := []overlayEntry{
		text("usr/lib/nixvm/mode", p.mode+"\n"),
		text("etc/nixos-image-version", imageID+"\n"),
		text("etc/machine-id", ""),
		link("etc/resolv.conf", "/run/nixvm/resolv.conf"),
		link("etc/hosts", "/run/nixvm/hosts"),
		link("etc/nixvm/apply-identity", "/usr/lib/nixvm/apply-identity"),
		link("etc/nixvm/grow-disk", "/usr/lib/nixvm/grow-disk"),
	}
	if p.mode != nixbuild.Mutable {
		// Without a place for adjtime hwclock fails, and with it the guest agent
		// when it sets the time.
		out = append(out, link("etc/hostname", "/var/identity/hostname"), link("etc/adjtime", "/run/nixvm/adjtime"))
	}
	if catalogue().HasAgent(p.profiles) {
		out = append(out, text("usr/lib/nixvm/block-private", ""))
	}
	if p.kind == kindTiny {
		return append(out, tinyLinks()...)
	}
	out = append(out, link("usr/lib/nixvm/init", "/lib/systemd/systemd"))
	for _, e := range enabled {
		out = append(out, link("etc/systemd/system/"+e.target+"/"+path.Base(e.unit), e.unit))
	}
	for _, unit := range masked {
		out = append(out, link("etc/systemd/system/"+unit, "/dev/null"))
	}
	return out
}

func tinyLinks() []overlayEntry {
	out := []overlayEntry{{name: "usr/lib/nixvm/init", link: "tiny/init"}, {name: "usr/lib/nixvm/tiny/init", link: "/usr/bin/busybox"}}
	// These speak to systemd, which is not there.
	for _, name := range []string{"poweroff", "reboot", "halt"} {
		out = append(out, overlayEntry{name: "usr/sbin/" + name, link: "/usr/bin/busybox"})
	}
	return out
}

// writeOverlay writes the entries as a tar of root-owned files, so that the same
// tar program that unpacks the root tree sets their owners, under fakeroot too.
func writeOverlay(w io.Writer, entries []overlayEntry) error {
	t := tar.NewWriter(w)
	// A fixed time: the same inputs give the same file system.
	when := time.Unix(1700000000, 0)
	dirs := map[string]bool{".": true}
	for _, e := range entries {
		if err := addParents(t, dirs, path.Dir(e.name), when); err != nil {
			return err
		}
		h := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.content)), ModTime: when, Typeflag: tar.TypeReg, Format: tar.FormatGNU}
		if e.link != "" {
			h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.link, 0o777
		}
		if err := t.WriteHeader(h); err != nil {
			return fmt.Errorf("overlay %s: %w", e.name, err)
		}
		if _, err := t.Write(e.content); err != nil {
			return err
		}
	}
	for _, d := range []string{"nix", "var/identity"} {
		if err := addParents(t, dirs, d, when); err != nil {
			return err
		}
	}
	return t.Close()
}

// addParents writes the directories on the way. Ones that the root tree has
// keep their mode: tar is told --no-overwrite-dir.
func addParents(t *tar.Writer, seen map[string]bool, dir string, when time.Time) error {
	if seen[dir] {
		return nil
	}
	if err := addParents(t, seen, path.Dir(dir), when); err != nil {
		return err
	}
	seen[dir] = true
	return t.WriteHeader(&tar.Header{Name: dir + "/", Mode: 0o755, ModTime: when, Typeflag: tar.TypeDir, Format: tar.FormatGNU})
}
