package sshconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
)

// userFile is the user's configuration as it was read.
type userFile struct {
	path     string // symlinks resolved
	data     []byte
	info     os.FileInfo // nil: there is no such file
	readOnly string      // why it cannot be edited; empty = it can
	refused  string      // why ssh itself does not use it; empty = it does
}

// locked reports whether our line must not be added to it now.
func (u userFile) locked() bool { return u.readOnly != "" || u.refused != "" }

// readUser reads the user's configuration and finds out whether we may edit it. One
// that cannot be read is one that cannot be edited: our own files are no worse for it.
func (c *Config) readUser() (userFile, error) {
	path, err := filepath.EvalSymlinks(c.opts.UserConfig)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c.absentUser(), nil
	case err != nil:
		return userFile{path: c.opts.UserConfig, readOnly: "it cannot be read (" + reason(err) + ")"}, nil
	}
	u := userFile{path: path}
	if u.info, err = os.Stat(path); err != nil {
		return u, err
	}
	if !u.info.Mode().IsRegular() || u.info.Size() > maxConfigBytes {
		return u, problem.New(problem.SSHConfigMalformed, "%s is not a regular file of less than %d MiB", c.opts.UserConfig, maxConfigBytes>>20).
			WithHint("set NIXVM_SSH_CONFIG to the SSH configuration that nixvm should use")
	}
	u.refused = c.whyRefused(u.info)
	if u.data, err = os.ReadFile(path); err != nil {
		u.readOnly = "it cannot be read (" + reason(err) + ")"
		return u, nil
	}
	u.readOnly = c.whyReadOnly(u)
	return u, nil
}

// reason is an error of the file system without the path that is named anyway.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// whyRefused is what ssh checks of its own configuration before it reads it, and
// does not of one that it gets by -F. It is asked, because not all are equally
// strict: Debian's allows a group without other members.
func (c *Config) whyRefused(info os.FileInfo) string {
	why := ""
	if uid := ownerOf(info); uid != 0 && uid != os.Getuid() {
		why = fmt.Sprintf("it belongs to the user with uid %d", uid)
	} else if mode := info.Mode().Perm(); mode&0o022 != 0 {
		why = fmt.Sprintf("others can write to it (mode %04o)", mode)
	}
	if c.system == "" || why == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.verifyTimeout)
	defer cancel()
	if _, err := c.sshG(ctx, "nixvm.invalid"); err == nil || !says(err.Error(), "bad owner or permissions") {
		return ""
	}
	return why
}

func (c *Config) absentUser() userFile {
	u := userFile{path: c.opts.UserConfig}
	if target, err := os.Readlink(u.path); err == nil {
		u.readOnly = "it is a symlink to " + target + ", which does not exist"
		return u
	}
	dir := existingParent(u.path)
	if below(dir, c.storeDir) {
		u.readOnly = dir + " is managed by Nix"
	} else if unix.Access(dir, unix.W_OK) != nil {
		u.readOnly = "it does not exist, and " + dir + " is not writable"
	}
	return u
}

func below(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// whyReadOnly is careful with root, whom no permission bit stops: a file that
// was made read-only on purpose stays as it is.
func (c *Config) whyReadOnly(u userFile) string {
	switch {
	case below(u.path, c.storeDir):
		return "it is managed by Nix (" + u.path + ")"
	case u.info.Mode()&0o222 == 0 || unix.Access(u.path, unix.W_OK) != nil:
		return "it is read-only"
	case unix.Access(filepath.Dir(u.path), unix.W_OK) != nil:
		return "its directory is read-only"
	}
	if hardLinked(u.info) {
		return "it has several hard links, which replacing it would break"
	}
	return ""
}

// userProblem tells why ssh does not read our configuration, and what to do.
func (c *Config) userProblem(u userFile) *problem.Error {
	if u.refused == "" {
		return c.readOnlyProblem(u)
	}
	fix := "chmod go-w " + u.path
	if !strings.Contains(u.refused, "mode") {
		fix = "give " + u.path + " to yourself (chown)"
	}
	return problem.New(problem.SSHConfigRefused, "ssh refuses to use %s: %s", c.opts.UserConfig, u.refused).
		WithHint("%s, then: nixvmd ssh-config --apply. The line that it needs at the top: %s", fix, c.IncludeLine())
}

// readOnlyProblem tells how to add (or take away) the line by hand.
func (c *Config) readOnlyProblem(u userFile) *problem.Error {
	hint := fmt.Sprintf("add this line at the top of it: %s", c.IncludeLine())
	if below(u.path, c.storeDir) {
		hint = fmt.Sprintf("with home-manager set programs.ssh.includes = [ %s ]; otherwise put this line first: %s",
			nixString(c.ConfigFile()), c.IncludeLine())
	}
	return problem.New(problem.SSHConfigReadOnly, "cannot add the Include line to %s: %s", c.opts.UserConfig, u.readOnly).WithHint("%s", hint)
}

// nixString writes a path for home-manager, which puts it into the Include
// line as it is: hence quoted for ssh first.
func nixString(path string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `${`, `\${`).Replace(quoteInclude(path)) + `"`
}

// errChanged: the file was written to between our read and our write.
var errChanged = errors.New("the file changed while it was being edited")

// tempPrefix of the temporary files beside the user's configuration.
const tempPrefix = ".nixvm-config-"

// writeUser replaces the user's file, keeping mode and owner. The caller holds
// the lock. It returns errChanged if the file is not the one that was read.
func (c *Config) writeUser(u userFile, data []byte) error {
	dir := filepath.Dir(u.path)
	sweepTemps(dir)
	mode := os.FileMode(0o600)
	if u.info != nil {
		mode = u.info.Mode().Perm()
	}
	temp, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return c.writeFailed(u, err)
	}
	defer os.Remove(temp.Name()) // fails after the rename, as it should
	err = fill(temp, data, mode, u.info)
	if err := errors.Join(err, temp.Close()); err != nil {
		return c.writeFailed(u, err)
	}
	if c.beforeRename != nil {
		c.beforeRename()
	}
	if !u.current() {
		return errChanged
	}
	if err := os.Rename(temp.Name(), u.path); err != nil {
		return c.writeFailed(u, err)
	}
	return atomicfile.SyncDir(dir)
}

// fill writes a temporary file so that it can take the place of the original.
func fill(temp *os.File, data []byte, mode os.FileMode, original os.FileInfo) error {
	if _, err := temp.Write(data); err != nil {
		return err
	}
	if err := chownLike(temp, original); err != nil {
		return err
	}
	if err := temp.Chmod(mode); err != nil { // after chown, which clears bits
		return err
	}
	return temp.Sync()
}

// writeFailed turns what a read-only file system or an immutable file answers
// into the problem that names the line.
func (c *Config) writeFailed(u userFile, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		u.readOnly = err.Error()
		return c.readOnlyProblem(u)
	}
	return fmt.Errorf("write %s: %w", u.path, err)
}

// current reports whether the file is still as it was read.
func (u userFile) current() bool {
	now, err := os.Lstat(u.path)
	if u.info == nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	if err != nil || !os.SameFile(now, u.info) || now.Size() != u.info.Size() {
		return false
	}
	if now.ModTime().Equal(u.info.ModTime()) {
		return true
	}
	data, err := os.ReadFile(u.path) // touched, perhaps not changed
	return err == nil && bytes.Equal(data, u.data)
}

// sweepTemps removes what a killed process left; the lock excludes other
// writers.
func sweepTemps(dir string) {
	left, _ := filepath.Glob(filepath.Join(globEscape(dir), tempPrefix+"*"))
	for _, f := range left {
		_ = os.Remove(f)
	}
}
