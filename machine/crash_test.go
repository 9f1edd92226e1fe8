package machine

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The crash tests run this test binary again: it does one thing to the store in
// crashDir and is killed (SIGKILL: nothing deferred runs) before step crashAt.
const (
	crashVerb = "NIXVM_TEST_CRASH_VERB"
	crashDir  = "NIXVM_TEST_CRASH_DIR"
	crashAt   = "NIXVM_TEST_CRASH_AT"
)

func TestMain(m *testing.M) {
	if verb := os.Getenv(crashVerb); verb != "" {
		crash(verb)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func crash(verb string) {
	s, err := OpenStore(os.Getenv(crashDir))
	if err != nil {
		panic(err)
	}
	at, _ := strconv.Atoi(os.Getenv(crashAt))
	step := 0
	s.step = func(string) {
		if step == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal ends all threads, in its own time
		}
		step++
	}
	switch verb {
	case "create":
		_, err = s.Create(context.Background(), Draft{Name: "demo", Profiles: []string{"dev"}})
	case "delete":
		err = s.Delete("demo")
	case "ensure":
		_, err = s.EnsureIdentity("demo")
	case "update":
		_, err = s.Update("demo", Changes{MemoryMiB: new(4096), VCPUs: new(4), Profiles: &[]string{"rust"}})
	}
	if err != nil {
		panic(err)
	}
}

// killedAt runs verb and reports whether it was killed before that step.
func killedAt(t *testing.T, s *Store, verb string, step int) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashVerb+"="+verb, crashDir+"="+s.dir, crashAt+"="+strconv.Itoa(step))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != syscall.SIGKILL {
		t.Fatalf("%s at step %d: %v\n%s", verb, step, err, out)
	}
	return true
}

// eachStep prepares a store, kills verb in it at one step after the other, opens
// the store again, and checks. It ends when the verb finishes.
func eachStep(t *testing.T, verb string, prepare func(*Store), check func(t *testing.T, s *Store)) {
	t.Helper()
	const enough = 100
	for step := range enough {
		s := newStore(t)
		prepare(s)
		killed := killedAt(t, s, verb, step)
		if !killed {
			if step == 0 {
				t.Fatal("no step was seen")
			}
			return
		}
		if _, err := OpenStore(s.dir); err != nil {
			t.Fatal(err)
		}
		for _, e := range s.entries(t) {
			if strings.HasPrefix(e, ".") {
				t.Errorf("step %d: left %s", step, e)
			}
		}
		if _, broken := s.List(); len(broken) != 0 {
			t.Errorf("step %d: broken: %+v", step, broken[0].Problem)
		}
		check(t, s)
	}
	t.Fatalf("%s has more than %d steps", verb, enough)
}

func TestAKilledCreateLeavesNothingOrAWholeMachine(t *testing.T) {
	whole := 0
	eachStep(t, "create", func(*Store) {}, func(t *testing.T, s *Store) {
		t.Helper()
		if s.Exists("demo") {
			whole++
			if m, err := s.Read("demo"); err != nil || !m.IdentityComplete() {
				t.Errorf("half a machine: %+v, %v", m, err)
			}
			return
		}
		create(t, s, Draft{Name: "demo"}) // and the name is free
	})
	if whole == 0 {
		t.Error("no step after the rename was seen")
	}
}

func TestAKilledDeleteLeavesNothingOrAWholeMachine(t *testing.T) {
	var before map[string]string
	gone := 0
	eachStep(t, "delete", func(s *Store) {
		create(t, s, Draft{Name: "demo"})
		before = files(t, s, "demo")
	}, func(t *testing.T, s *Store) {
		t.Helper()
		if !s.Exists("demo") {
			gone++
		} else if len(files(t, s, "demo")) != len(before) {
			t.Error("half a machine")
		}
	})
	if gone == 0 {
		t.Error("no step after the rename was seen")
	}
}

func TestAKilledAdoptionIsCompletedByTheNext(t *testing.T) {
	eachStep(t, "ensure", func(s *Store) { write(t, s, "demo", ProfileFile, "core\n") }, func(t *testing.T, s *Store) {
		t.Helper()
		before := files(t, s, "demo")
		if m, err := s.EnsureIdentity("demo"); err != nil || !m.IdentityComplete() {
			t.Errorf("%+v, %v", m, err)
		}
		for file, data := range before {
			if read(t, s, "demo", file) != data {
				t.Errorf("%s was generated twice", file)
			}
		}
	})
}

func TestAKilledUpdateLeavesEveryFileOldOrNew(t *testing.T) {
	eachStep(t, "update", func(s *Store) { create(t, s, Draft{Name: "demo"}) }, func(t *testing.T, s *Store) {
		t.Helper()
		m, err := s.Read("demo")
		if err != nil {
			t.Fatal(err)
		}
		if (m.MemoryMiB != 2048 && m.MemoryMiB != 4096) || (m.VCPUs != 2 && m.VCPUs != 4) {
			t.Errorf("%+v", m)
		}
	})
}
