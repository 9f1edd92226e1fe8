package vm

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
)

func TestMachinesAreWhereTheConfigurationHasThem(t *testing.T) {
	t.Setenv("HOME", "/home/someone")
	l := paths.Under("/n")
	for setting, want := range map[string]string{
		"":                          "/n/data/machines",
		"~/.config/nixvm/machines/": "/home/someone/.config/nixvm/machines",
		"/n/data/machines":          "/n/data/machines",
		"/n/config/machines":        "/n/config/machines",
		"/srv/../etc/vm":            "/etc/vm",
	} {
		got, err := withMachines(l, setting)
		if err != nil || got.Machines() != want {
			t.Errorf("%q: %q, %v, want %s", setting, got.Machines(), err, want)
		}
	}
	for _, no := range []string{"machines", "~", "~other/machines", "$HOME/machines", "./m", "/a\nb", "/", "/n", "/n/state", "/n/state/x", "/n/data/images/x", "/n/data", "/n/config", "/n/runtime"} {
		got, err := withMachines(l, no)
		wantProblem(t, err, problem.ConfigInvalid)
		if got.Machines() != "/n/data/machines" || !strings.Contains(err.Error(), "config.toml") {
			t.Errorf("%q: %q, %v", no, got.Machines(), err)
		}
	}
}

func TestOnlyTheSettingMachinesIsReadToFindThem(t *testing.T) {
	l := paths.Under(t.TempDir())
	for text, want := range map[string]string{
		"nonsense = 1\nmachines = \"/m\"": "/m",
		"memory = 3":                      "/d",
	} {
		if err := os.MkdirAll(l.Config, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(l.ConfigFile(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l.MachinesDir = "/d"
		if got, err := WithMachines(l); err != nil || got.Machines() != want {
			t.Errorf("%q: %q, %v", text, got.Machines(), err)
		}
	}
	if err := os.WriteFile(l.ConfigFile(), []byte("machines = 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := WithMachines(l)
	wantProblem(t, err, problem.ConfigInvalid)
}

func TestMachinesThatStayBehindAreNotTakenForLost(t *testing.T) {
	l := paths.Under(t.TempDir())
	if err := l.Ensure(); err != nil {
		t.Fatal(err)
	}
	next := l
	next.MachinesDir = filepath.Join(t.TempDir(), "next")
	third := l
	third.MachinesDir = filepath.Join(t.TempDir(), "third")
	log := slog.New(slog.DiscardHandler)
	check := func(l paths.Layout, behind string) {
		t.Helper()
		err := checkMachinesMoved(l)
		if behind == "" {
			if err != nil {
				t.Error(err)
			}
			rememberMachines(l, log)
			return
		}
		wantProblem(t, err, problem.ConfigInvalid)
		if !strings.Contains(err.Error(), "still has machines: "+behind) {
			t.Errorf("%v does not name %s", err, behind)
		}
	}
	mkdir := func(path ...string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(path...), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	check(l, "")
	check(next, "") // nothing was there
	check(third, "")
	check(l, "")
	mkdir(l.Machines(), "one")
	mkdir(l.Machines(), ".git")
	mkdir(l.Machines(), "Not A Machine")
	check(next, "one")
	check(l, "")
	mkdir(next.Machines(), "one") // copied
	check(next, "")
	mkdir(next.Machines(), "two")
	check(l, "two")
	check(third, "one, two")
	if err := os.Rename(next.Machines(), third.Machines()); err != nil {
		t.Fatal(err)
	}
	check(third, "")
	// Another way to the same directory is no other one.
	same := third
	same.MachinesDir = filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(third.Machines(), same.MachinesDir); err != nil {
		t.Fatal(err)
	}
	check(same, "")
	for i := range 8 {
		mkdir(third.Machines(), "m"+string(rune('0'+i)))
	}
	check(l, "m0, m1, m2, m3, m4 and 4 more")
}
