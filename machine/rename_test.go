package machine

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/internal/problem"
)

// renamed are the files of a machine with their contents under the other name.
func renamed(files map[string]string, from, to string) map[string]string {
	after := maps.Clone(files)
	after[HostnameFile] = to + "\n"
	after[HostKeyPubFile] = strings.ReplaceAll(files[HostKeyPubFile], "root@"+from, "root@"+to)
	return after
}

func TestARenamedMachineHasItsFilesAndTheNewHostName(t *testing.T) {
	s := newStore(t)
	create(t, s, rich("demo"))
	write(t, s, "demo", "notes.txt", "of this machine\n")
	want := renamed(files(t, s, "demo"), "demo", "work")
	for range 2 {
		if err := s.Rename("demo", "work", true); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, files(t, s, "work")); diff != "" || s.Exists("demo") {
			t.Errorf("files (-want +got):\n%s", diff)
		}
	}
	if m, err := s.Read("work"); err != nil || m.Hostname != "work" || !m.IdentityComplete() {
		t.Errorf("it is %+v, %v", m, err)
	}
	// Another host name stays.
	if err := s.Rename("work", "other", false); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Read("other"); err != nil || m.Hostname != "work" {
		t.Errorf("it is %+v, %v", m, err)
	}
}

func TestARenameThatIsRefusedChangesNothing(t *testing.T) {
	s := newStore(t)
	create(t, s, rich("demo"))
	create(t, s, Draft{Name: "there"})
	before, there := files(t, s, "demo"), files(t, s, "there")
	for what, c := range map[string]struct {
		from, to string
		code     problem.Code
	}{
		"no machine":         {"nobody", "work", problem.MachineNotFound},
		"a name that is had": {"demo", "there", problem.MachineExists},
		"no name":            {"demo", "../x", problem.MachineNameInvalid},
		"from no name":       {"../x", "work", problem.MachineNameInvalid},
	} {
		if err := s.Rename(c.from, c.to, true); !problem.HasCode(err, c.code) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if diff := cmp.Diff(before, files(t, s, "demo")) + cmp.Diff(there, files(t, s, "there")); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestOfALinkedMachineTheLinkIsRenamed(t *testing.T) {
	s := newStore(t)
	create(t, s, rich("demo"))
	elsewhere := filepath.Join(t.TempDir(), "machine")
	if err := os.Rename(s.Dir("demo"), elsewhere); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, s.Dir("demo")); err != nil {
		t.Fatal(err)
	}
	if err := s.Rename("demo", "work", true); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(s.Dir("work")); err != nil || to != elsewhere {
		t.Errorf("the link leads to %s, %v", to, err)
	}
	if m, err := s.Read("work"); err != nil || m.Hostname != "work" {
		t.Errorf("it is %+v, %v", m, err)
	}
}

// A rename that ends at any change can be completed, or taken back.
func TestARenameThatIsCutOffIsCompletedOrTakenBack(t *testing.T) {
	for at := 1; ; at++ {
		for _, back := range []bool{false, true} {
			s := newStore(t)
			create(t, s, rich("demo"))
			before := files(t, s, "demo")
			seen, cut := 0, false
			s.step = func(string) {
				if seen++; seen == at {
					cut = true
					panic(fmt.Sprintf("cut off at change %d", at))
				}
			}
			func() {
				defer func() { _ = recover() }()
				if err := s.Rename("demo", "work", true); err != nil {
					t.Fatal(err)
				}
			}()
			if !cut {
				if at < 3 {
					t.Errorf("it has only %d changes", at-1)
				}
				return
			}
			s.step = nil
			name, want := "work", renamed(before, "demo", "work")
			err := s.Rename("demo", "work", true)
			if back {
				name, want = "demo", before
				err = s.Rename("work", "demo", true)
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, files(t, s, name)); diff != "" {
				t.Errorf("cut off at change %d (-want +got):\n%s", at, diff)
			}
		}
	}
}
