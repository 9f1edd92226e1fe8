package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/diskspace"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// Files in state/libvirt/<backend>/<name>/, the directory of one VM.
const (
	stateFile    = "state.qcow2"  // the state disk; holds the snapshots
	identityFile = "identity.iso" // identity medium, written at every start
	nvramFile    = "efivars.fd"   // UEFI variables, when booted by UEFI; made by libvirt
)

// localStorage keeps disks as files of the user, for a libvirtd of this host.
// They stay the user's: QEMU runs as the user who owns them. Root is the
// exception: its VMs run as libvirt's own user, who is given the files.
type localStorage struct {
	b   *Backend
	dir string // state/libvirt/<backend>
}

func (s *localStorage) path(name, file string) string { return filepath.Join(s.dir, name, file) }

func (s *localStorage) create(ctx context.Context, spec backends.Spec, report progress.Reporter) (disks, error) {
	report.Message("disk", "creating the disks")
	if err := s.fresh(spec.Name); err != nil {
		return disks{}, err
	}
	state := s.path(spec.Name, stateFile)
	var err error
	if spec.Mutable {
		err = s.fullCopy(ctx, spec, state, report)
	} else {
		err = s.b.img.NewState(ctx, state, spec.DiskBytes)
	}
	if err != nil {
		return disks{}, err
	}
	return s.ready(ctx, spec)
}

// fresh makes an empty directory for a VM, over what a crash left.
func (s *localStorage) fresh(name string) error {
	dir := filepath.Join(s.dir, name)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o700)
}

// fullCopy makes the only disk of a mutable VM.
func (s *localStorage) fullCopy(ctx context.Context, spec backends.Spec, to string, report progress.Reporter) error {
	image, err := s.b.img.Info(ctx, spec.Image.Disk, spec.Image.Format)
	if err != nil {
		return err
	}
	if err := refusal.TooSmall(spec.DiskBytes, image.VirtualSize); err != nil {
		return err
	}
	if err := s.b.img.Copy(ctx, spec.Image.Disk, false, image, "", to, report); err != nil {
		return err
	}
	return s.b.img.Grow(ctx, to, image.VirtualSize, spec.DiskBytes)
}

func (s *localStorage) prepare(ctx context.Context, spec backends.Spec) (disks, error) {
	state := s.path(spec.Name, stateFile)
	info, err := s.b.img.InfoShared(ctx, state)
	if err != nil {
		return disks{}, problem.New(problem.VMStartFailed, "the state disk cannot be read: %w", err)
	}
	if err := s.b.img.Grow(ctx, state, info.VirtualSize, spec.DiskBytes); err != nil {
		return disks{}, err
	}
	return s.ready(ctx, spec)
}

// ready writes the identity medium and gives everything to whom QEMU runs as.
func (s *localStorage) ready(ctx context.Context, spec backends.Spec) (disks, error) {
	d := disks{
		State: s.path(spec.Name, stateFile), Identity: s.path(spec.Name, identityFile),
		Kernel: spec.Image.Kernel, Initrd: spec.Image.Initrd,
	}
	if !spec.Mutable {
		d.Boot, d.Format = spec.Image.Disk, spec.Image.Format
	}
	if d.Kernel == "" {
		d.NVRAM = s.path(spec.Name, nvramFile)
	}
	if err := atomicfile.Write(d.Identity, spec.Identity, 0o600); err != nil {
		return d, refusal.DiskFull(err)
	}
	uid, gid, err := s.b.runsAs(ctx)
	if err != nil {
		return d, err
	}
	if !s.b.target.Session {
		d.Label = fmt.Sprintf("+%d:+%d", uid, gid)
	}
	return d, s.give(spec.Name, uid, gid)
}

// give changes the owner of the files where we are root and QEMU is not. The
// directory stays root's: a user who could rename in it would choose what root's
// qemu-img follows at the next start.
func (s *localStorage) give(name string, uid, gid int) error {
	if os.Getuid() != 0 || uid == 0 {
		return nil
	}
	dir := filepath.Join(s.dir, name)
	if err := errors.Join(os.Lchown(dir, 0, 0), os.Chmod(dir, 0o711)); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Lchown(filepath.Join(dir, e.Name()), uid, gid); err != nil {
			return err
		}
	}
	return nil
}

func (s *localStorage) exists(_ context.Context, name string) (bool, error) {
	_, err := os.Lstat(filepath.Join(s.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (s *localStorage) remove(_ context.Context, name string) error {
	if err := names.Machine(name); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(s.dir, name))
}

func (s *localStorage) names(context.Context, *conn) (map[string]bool, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	found := map[string]bool{}
	for _, e := range entries {
		if names.IsMachine(e.Name()) {
			found[e.Name()] = true
		}
	}
	return found, nil
}

func (s *localStorage) space(context.Context) (backends.Space, error) { return diskspace.Of(s.dir) }

func (s *localStorage) check(ctx context.Context) []backends.Finding {
	var all []backends.Finding
	if _, err := findQemuImg(); err != nil {
		p := problem.From(err)
		all = append(all, backends.Finding{Code: "libvirt.img_missing", Severity: backends.Fatal, Message: p.Message, Fix: p.Hint})
	}
	if uid, _, err := s.b.runsAs(ctx); err == nil && uid != os.Getuid() {
		if closed := closedDirectory(filepath.Join(s.dir, "x")); closed != "" {
			all = append(all, backends.Finding{
				Code: "libvirt.path_closed", Severity: backends.Fatal,
				Message: fmt.Sprintf("QEMU, which libvirt runs as user %d if nixvmd runs as root, cannot enter %s", uid, closed),
				Fix:     "run nixvmd as a plain user; or chmod o+x that directory and those below it that lead to disks and images",
			})
		}
	}
	return all
}

// closedDirectory is the first directory above path that others cannot search,
// of those that are there; empty = none.
func closedDirectory(path string) string {
	closed := ""
	for dir := filepath.Dir(path); dir != "/" && dir != "."; dir = filepath.Dir(dir) {
		if st, err := os.Stat(dir); err == nil && st.Mode()&0o001 == 0 {
			closed = dir
		}
	}
	return closed
}

// findQemuImg finds the program, or says how to get it.
func findQemuImg() (string, error) {
	path, err := exec.LookPath("qemu-img")
	if err == nil {
		return path, nil
	}
	return "", problem.New(problem.BackendMissing, "the program qemu-img is missing").
		WithHint("Debian, Ubuntu: sudo apt install qemu-utils; Fedora: sudo dnf install qemu-img")
}
