package paths

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

// maxLinks is how many symbolic links a path may lead through.
const maxLinks = 40

// makeOwn makes a directory of this user's own, with its parents, all 0700. It
// goes down from the root holding each directory open, and makes nothing in one
// that another user could exchange or has made: the runtime root may lie in /tmp,
// where a link of another user would have us work in a place of theirs, and a
// state directory that others can write to is theirs as much as ours.
//
// A directory on the way belongs to root or to this user, and others may write to
// it only if it is sticky, as /tmp is. A link on the way belongs to one of the two
// as well. The last directory belongs to this user, and only this user may write to it.
func makeOwn(path string) error {
	w := walk{path: path, at: -1}
	defer w.close()
	if err := w.root(); err != nil {
		return err
	}
	w.rest = elements(path)
	for len(w.rest) > 0 {
		if err := w.step(); err != nil {
			return err
		}
	}
	return nil
}

// walk is on its way to path.
type walk struct {
	path  string
	at    int      // descriptor of where it is, proven; O_PATH
	name  string   // of where it is, for messages
	rest  []string // what is left to go
	links int
}

func elements(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == filepath.Separator })
}

func (w *walk) close() {
	if w.at >= 0 {
		unix.Close(w.at)
	}
}

func (w *walk) root() error {
	return w.enter(unix.AT_FDCWD, "/", "/", false)
}

// step goes down by one element, which is made if it is not there.
func (w *walk) step() error {
	name, last := w.rest[0], len(w.rest) == 1
	w.rest = w.rest[1:]
	place := filepath.Join(w.name, name)
	var st unix.Stat_t
	err := unix.Fstatat(w.at, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		if err = unix.Mkdirat(w.at, name, 0o700); errors.Is(err, unix.EEXIST) {
			err = nil // another process was faster; what it made is looked at like anything else
		}
		if err == nil {
			err = unix.Fstatat(w.at, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		}
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", place, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return w.follow(name, place, st)
	}
	return w.enter(w.at, name, place, last)
}

// follow goes on where a symbolic link leads to.
func (w *walk) follow(name, place string, st unix.Stat_t) error {
	if !trusted(st.Uid) {
		return w.unsafe("%s is a link of %s", place, userName(st.Uid))
	}
	if w.links++; w.links > maxLinks {
		return fmt.Errorf("create %s: %w", w.path, unix.ELOOP)
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(w.at, name, buf)
	if err != nil {
		return fmt.Errorf("read the link %s: %w", place, err)
	}
	target := string(buf[:n])
	w.rest = append(elements(target), w.rest...)
	if filepath.IsAbs(target) {
		return w.root()
	}
	return nil
}

// enter opens a directory and checks what was opened, not what its name says now.
func (w *walk) enter(at int, name, place string, last bool) error {
	fd, err := unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return w.unsafe("%s is not a directory", place)
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", place, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return fmt.Errorf("stat %s: %w", place, err)
	}
	if err := w.check(place, st, last); err != nil {
		unix.Close(fd)
		return err
	}
	w.close()
	w.at, w.name = fd, place
	return nil
}

func (w *walk) check(place string, st unix.Stat_t, last bool) error {
	const group, others = 0o020, 0o002
	switch {
	case last && int(st.Uid) != os.Geteuid():
		return w.unsafe("%s belongs to %s", place, userName(st.Uid))
	case last && st.Mode&(group|others) != 0:
		return w.unsafe("other users can write to %s (its mode is %04o)", place, st.Mode&0o7777).
			WithHint("check that its content is yours, then: chmod go-w %s", place)
	case !trusted(st.Uid):
		return w.unsafe("%s, a parent of it, belongs to %s", place, userName(st.Uid))
	case st.Mode&others != 0 && st.Mode&unix.S_ISVTX == 0:
		return w.unsafe("every user can write to %s, a parent of it (its mode is %04o)", place, st.Mode&0o7777).
			WithHint("chmod o-w %s, or use another directory", place)
	case st.Mode&group != 0 && st.Mode&unix.S_ISVTX == 0 && !privateGroup(st.Gid):
		return w.unsafe("a group can write to %s, a parent of it (its mode is %04o)", place, st.Mode&0o7777).
			WithHint("chmod g-w %s, or use another directory", place)
	}
	return nil
}

// trusted are root, this user, and the owner that stands for root in a user
// name space that has not got it.
func trusted(uid uint32) bool {
	return uid == 0 || int(uid) == os.Geteuid() || uid == overflow()
}

// privateGroup reports whether a group has this user alone, as distributions make
// one of the user's own name for each; and root's.
func privateGroup(gid uint32) bool {
	if gid == 0 || int(gid) != os.Getegid() {
		return gid == 0
	}
	g, err := user.LookupGroupId(strconv.FormatUint(uint64(gid), 10))
	if err != nil {
		return false
	}
	u, err := user.Current()
	return err == nil && u.Username == g.Name
}

// overflow is the uid that shows for users of another name space, 0 where every
// user has a number: then that uid is in use.
func overflow() uint32 {
	var first, parent, count uint64
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return 0
	}
	if n, err := fmt.Sscan(string(text), &first, &parent, &count); n != 3 || err != nil || count >= 1<<32-1 {
		return 0
	}
	text, err = os.ReadFile("/proc/sys/kernel/overflowuid")
	if err != nil {
		return 0
	}
	uid, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil {
		return 0
	}
	return uint32(uid)
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return "the user " + u.Username
	}
	return "the user " + id
}

func (w *walk) unsafe(format string, args ...any) *problem.Error {
	return problem.New(problem.ConfigInvalid, "%s cannot be used: %s", w.path, fmt.Sprintf(format, args...)).
		WithHint("remove it, or choose directories of your own with NIXVM_HOME or the XDG variables; for machines, with machines in config.toml")
}
