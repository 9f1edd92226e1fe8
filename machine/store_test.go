package machine

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/internal/problem"
)

const userKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl you@laptop"

func newStore(tb testing.TB) *Store {
	tb.Helper()
	s, err := OpenStore(filepath.Join(tb.TempDir(), "machines"))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func create(tb testing.TB, s *Store, d Draft) Machine {
	tb.Helper()
	m, err := s.Create(context.Background(), d)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// write puts one file into a machine's directory, as a person would.
func write(tb testing.TB, s *Store, name, file, data string) {
	tb.Helper()
	if err := os.MkdirAll(s.Dir(name), 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir(name), file), []byte(data), 0o644); err != nil {
		tb.Fatal(err)
	}
}

func read(tb testing.TB, s *Store, name, file string) string {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join(s.Dir(name), file))
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

// wantProblem fails unless err is a problem of that code with a hint.
func wantProblem(tb testing.TB, err error, code problem.Code) {
	tb.Helper()
	if !problem.HasCode(err, code) {
		tb.Fatalf("got error %v, want %s", err, code)
	}
	if problem.From(err).Hint == "" {
		tb.Errorf("%v has no hint", err)
	}
}

func TestOneBrokenMachineDoesNotHideTheOthers(t *testing.T) {
	s := newStore(t)
	create(t, s, Draft{Name: "alpha"})
	create(t, s, Draft{Name: "beta"})
	create(t, s, Draft{Name: "gamma"})
	write(t, s, "beta", MemoryFile, "# in MiB\n8 GiB\n")
	machines, broken := s.List()
	if len(machines) != 2 || machines[0].Name != "alpha" || machines[1].Name != "gamma" {
		t.Errorf("healthy machines: %v", machines)
	}
	if len(broken) != 1 {
		t.Fatalf("broken: %v", broken)
	}
	b := broken[0]
	if b.Name != "beta" || b.Stray || b.File != filepath.Join(s.Dir("beta"), "memory") || b.Line != 2 {
		t.Errorf("%+v", b)
	}
	if b.Problem.Code != problem.MachineBroken || !strings.Contains(b.Problem.Message, `"8 GiB"`) || b.Problem.Hint == "" {
		t.Errorf("%+v", b.Problem)
	}
}

func TestWhatIsNoMachineIsReportedAsStray(t *testing.T) {
	s := newStore(t)
	create(t, s, Draft{Name: "alpha"})
	write(t, s, "Bad_Name", ProfileFile, "core\n")
	if err := os.WriteFile(filepath.Join(s.dir, "README.md"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/nowhere", filepath.Join(s.dir, "gone")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.dir, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	machines, broken := s.List()
	if len(machines) != 1 || len(broken) != 3 {
		t.Fatalf("machines %v, broken %v", machines, broken)
	}
	for _, b := range broken {
		if !b.Stray || b.Problem == nil || b.Problem.Hint == "" {
			t.Errorf("%+v", b)
		}
	}
}

func TestADirectoryThatIsALinkIsAMachine(t *testing.T) {
	s, elsewhere := newStore(t), newStore(t)
	create(t, elsewhere, Draft{Name: "shared"})
	if err := os.Symlink(elsewhere.Dir("shared"), s.Dir("shared")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read("shared"); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete("shared"); err != nil {
		t.Fatal(err)
	}
	if !elsewhere.Exists("shared") {
		t.Error("Delete followed the link")
	}
}

func TestAnEmptyDirectoryIsBroken(t *testing.T) {
	s := newStore(t)
	if err := os.Mkdir(s.Dir("empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := s.Read("empty")
	wantProblem(t, err, problem.MachineBroken)
	if s.Delete("empty") != nil || s.Exists("empty") {
		t.Error("a broken machine cannot be deleted")
	}
}

func TestAMachineThatIsNotThere(t *testing.T) {
	s := newStore(t)
	_, readErr := s.Read("demo")
	_, updateErr := s.Update("demo", Changes{})
	_, ensureErr := s.EnsureIdentity("demo")
	for _, err := range []error{readErr, updateErr, ensureErr, s.Delete("demo")} {
		wantProblem(t, err, problem.MachineNotFound)
	}
}

func TestAStoreThatCannotBeReadIsSaid(t *testing.T) {
	s := newStore(t)
	if err := os.Remove(s.dir); err != nil {
		t.Fatal(err)
	}
	machines, broken := s.List()
	if len(machines) != 0 || len(broken) != 1 || broken[0].Problem.Hint == "" {
		t.Errorf("%v, %v", machines, broken)
	}
}

func TestInvalidNamesNeverReachAPath(t *testing.T) {
	s := newStore(t)
	secret := filepath.Join(filepath.Dir(s.dir), "secret")
	if err := os.Mkdir(secret, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../secret", "..", "", "-rf", "a/b", "a\nb", strings.Repeat("a", 64)} {
		_, readErr := s.Read(name)
		_, updateErr := s.Update(name, Changes{})
		_, ensureErr := s.EnsureIdentity(name)
		_, createErr := s.Create(context.Background(), Draft{Name: name})
		for _, err := range []error{readErr, updateErr, ensureErr, createErr, s.Delete(name)} {
			wantProblem(t, err, problem.MachineNameInvalid)
		}
		if s.Exists(name) {
			t.Errorf("%q exists", name)
		}
	}
	if _, err := os.Stat(secret); err != nil {
		t.Error(err)
	}
}

// entries lists the machines directory, hidden names too.
func (s *Store) entries(tb testing.TB) []string {
	tb.Helper()
	all, err := os.ReadDir(s.dir)
	if err != nil {
		tb.Fatal(err)
	}
	var names []string
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

func TestOpenStoreLeavesWhatAnotherProcessIsCreating(t *testing.T) {
	s := newStore(t)
	unlock, err := s.lock()
	if err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(s.dir, newPrefix+"demo-1")
	if err := os.Mkdir(half, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStore(s.dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(half); err != nil {
		t.Error("swept while the lock is held")
	}
	unlock()
	if _, err := OpenStore(s.dir); err != nil {
		t.Fatal(err)
	}
	if left := s.entries(t); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
