package paths

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/internal/problem"
)

// stranger is a user who is neither root nor the one that runs the tests.
const stranger = 54321

// needRoot: only root can give a file away.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can make files of another user")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// below lists what is below a directory.
func below(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if path != dir {
			all = append(all, path)
		}
		return err
	}))
	return all
}

func wantRefusal(t *testing.T, err error, words ...string) {
	t.Helper()
	if !problem.HasCode(err, problem.ConfigInvalid) {
		t.Fatalf("%v", err)
	}
	p := problem.From(err)
	for _, w := range words {
		if !strings.Contains(p.Message+" "+p.Hint, w) {
			t.Errorf("%q is not in %q (%s)", w, p.Message, p.Hint)
		}
	}
	if p.Hint == "" {
		t.Errorf("%q has no hint", p.Message)
	}
}

func TestEnsureMakesTheRootsForThisUserAlone(t *testing.T) {
	l := Under(filepath.Join(t.TempDir(), "a", "home"))
	must(t, l.Ensure())
	must(t, l.Ensure())
	for _, dir := range []string{l.Config, l.Data, l.State, l.Runtime, l.Machines(), l.ControlDir()} {
		fi, err := os.Stat(dir)
		if err != nil || fi.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", dir, fi, err)
		}
	}
	must(t, os.Chmod(l.Runtime, 0o755)) // what a careless mkdir leaves
	must(t, l.Ensure())
	if fi, err := os.Stat(l.Runtime); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("the runtime root is %v, %v", fi.Mode(), err)
	}
}

func TestLinksOfTheUserAreFollowed(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "disk"), 0o700))
	must(t, os.Mkdir(filepath.Join(dir, "home"), 0o700))
	l := Under(filepath.Join(dir, "home"))
	must(t, os.Symlink(filepath.Join(dir, "disk"), l.State))
	must(t, os.Symlink("../disk/../disk", l.Data))
	must(t, l.Ensure())
	for _, d := range []string{"vms", "machines"} {
		if _, err := os.Stat(filepath.Join(dir, "disk", d)); err != nil {
			t.Error(err)
		}
	}
	must(t, os.Remove(l.Data))
	must(t, os.Symlink("data", l.Data))
	if err := l.Ensure(); err == nil {
		t.Error("a link to itself is followed")
	}
}

// TestNothingIsMadeWhereAForeignLinkLeads is /tmp/nixvm-<uid> as another user has
// put it there first.
func TestNothingIsMadeWhereAForeignLinkLeads(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	theirs, shared := filepath.Join(dir, "theirs"), filepath.Join(dir, "tmp")
	must(t, os.Mkdir(theirs, 0o777))
	must(t, os.Mkdir(shared, 0o700))
	must(t, os.Chmod(shared, os.ModeSticky|0o777))
	l := Under(filepath.Join(dir, "home"))
	l.Runtime = filepath.Join(shared, "nixvm-0")
	must(t, os.Symlink(theirs, l.Runtime))
	must(t, os.Lchown(l.Runtime, stranger, stranger))
	wantRefusal(t, l.Ensure(), "is a link of the user", l.Runtime)
	if got := below(t, theirs); len(got) != 0 {
		t.Errorf("made %q", got)
	}
	must(t, os.Remove(l.Runtime))
	must(t, os.Mkdir(l.Runtime, 0o777))
	must(t, os.Chown(l.Runtime, stranger, stranger))
	wantRefusal(t, l.Ensure(), "belongs to the user", l.Runtime)
	if got := below(t, l.Runtime); len(got) != 0 {
		t.Errorf("made %q", got)
	}
}

func TestADirectoryOfAnotherUserIsRefused(t *testing.T) {
	needRoot(t)
	for _, part := range []string{"config", "data", "data/machines", "state", "state/vms", "state/ssh", "runtime", "runtime/cm", "."} {
		home := filepath.Join(t.TempDir(), "home")
		l := Under(home)
		must(t, l.Ensure())
		must(t, os.Chown(filepath.Join(home, part), stranger, stranger))
		wantRefusal(t, l.Ensure(), filepath.Join(home, part))
	}
}

func TestADirectoryThatOthersMayWriteToIsRefused(t *testing.T) {
	for _, part := range []string{"config", "data", "data/images", "state", "state/records", "runtime/cm", "."} {
		for _, mode := range []os.FileMode{0o777, 0o722, 0o702} {
			home := filepath.Join(t.TempDir(), "home")
			l := Under(home)
			must(t, l.Ensure())
			must(t, os.Chmod(filepath.Join(home, part), mode))
			wantRefusal(t, l.Ensure(), filepath.Join(home, part), "chmod")
		}
	}
}

func TestADirectoryOnTheWayThatAGroupMayWriteTo(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	must(t, os.Chown(dir, 0, stranger))
	must(t, os.Chmod(dir, 0o770))
	l := Under(filepath.Join(dir, "home"))
	wantRefusal(t, l.Ensure(), "a group can write", dir)
	if got := below(t, dir); len(got) != 0 {
		t.Errorf("made %q", got)
	}
	must(t, os.Chown(dir, 0, 0))
	must(t, l.Ensure())
}

func TestAFileInTheWayIsNamed(t *testing.T) {
	home := t.TempDir()
	l := Under(home)
	must(t, os.WriteFile(l.State, nil, 0o600))
	wantRefusal(t, l.Ensure(), l.State, "is not a directory")
}
