package machine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nixvm/nixvm/internal/problem"
)

func forwards() *rapid.Generator[RemoteForward] {
	return rapid.Custom(func(t *rapid.T) RemoteForward {
		port := rapid.StringMatching(`[1-9][0-9]{0,3}`)
		socket := rapid.StringMatching(`(/[a-z0-9][a-z0-9._-]{1,9}){1,4}`)
		f := RemoteForward{Daemon: rapid.Bool().Draw(t, "daemon")}
		if rapid.Bool().Draw(t, "listen on a socket") {
			f.Listen, f.Daemon = socket.Draw(t, "listen"), true
		} else {
			f.Listen = rapid.SampledFrom([]string{"", "*:", "localhost:", "127.0.0.1:", "[::1]:"}).Draw(t, "bind") + port.Draw(t, "port")
		}
		if f.Target = socket.Draw(t, "target"); rapid.Bool().Draw(t, "target is TCP") {
			f.Target = rapid.SampledFrom([]string{"localhost", "10.0.0.1", "[fd00::1]", "a-b.c"}).Draw(t, "host") + ":" + port.Draw(t, "port")
		}
		return f
	})
}

// Earlier versions kept lines that they refused later. Such a file must not take the
// machine away, nor its other forwards.
func TestLinesThatAreNoForwardStandAside(t *testing.T) {
	s := newStore(t)
	if _, err := s.Create(t.Context(), Draft{Name: "demo"}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.Dir("demo"), RemoteForwardsFile)
	const text = "# mine\n8080 localhost:80\n8081 foo-:80\n/tmp/../x /tmp/y\n8080 other:80 # twice\n8082 example.com.:80\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := s.Read("demo")
	if err != nil {
		t.Fatal(err)
	}
	if len(m.RemoteForwards) != 2 || m.RemoteForwards[1].Target != "example.com.:80" || len(m.UnreadForwards) != 3 {
		t.Fatalf("%+v, %+v", m.RemoteForwards, m.UnreadForwards)
	}
	for i, want := range []struct {
		text, where string
		code        problem.Code
	}{{"8081 foo-:80", " line 3: ", problem.MachineInvalid}, {"/tmp/../x /tmp/y", " line 4: ", problem.MachineInvalid}, {"8080 other:80", " line 5: ", problem.ForwardConflict}} {
		u := m.UnreadForwards[i]
		if p := u.Problem(); u.Text != want.text || p.Code != want.code || !strings.Contains(p.Message, file+want.where) || p.Hint == "" {
			t.Errorf("%+v, %+v", u, p)
		}
	}

	// Another setting leaves the file alone; a change of the forwards keeps the lines.
	memory := 4096
	if _, err := s.Update("demo", Changes{MemoryMiB: &memory}); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(file); string(got) != text {
		t.Errorf("the file was written: %q", got)
	}
	list := append(m.RemoteForwards[1:2:2], RemoteForward{Listen: "9000", Target: "localhost:90"})
	if m, err = s.Update("demo", Changes{RemoteForwards: &list}); err != nil {
		t.Fatal(err)
	}
	// The second line for 8080 must not take the place of the first, which is gone.
	if len(m.RemoteForwards) != 2 || m.RemoteForwards[0].Listen != "8082" || m.RemoteForwards[1].Listen != "9000" || len(m.UnreadForwards) != 2 {
		t.Errorf("%+v, %+v", m.RemoteForwards, m.UnreadForwards)
	}
	if got, _ := os.ReadFile(file); !strings.Contains(string(got), "\n8081 foo-:80\n") || !strings.Contains(string(got), "\n# 8080 other:80\n") {
		t.Errorf("the file is now %q", got)
	}
	none := []UnreadForward{}
	if m, err = s.Update("demo", Changes{UnreadForwards: &none}); err != nil || len(m.UnreadForwards) != 0 || len(m.RemoteForwards) != 2 {
		t.Errorf("%+v, %v", m, err)
	}
}

// What a file may have, a request may not.
func TestForwardsThatARequestMustNotHave(t *testing.T) {
	s := newStore(t)
	if _, err := s.Create(t.Context(), Draft{Name: "demo"}); err != nil {
		t.Fatal(err)
	}
	for code, list := range map[problem.Code][]RemoteForward{
		problem.MachineInvalid:  {{Listen: "8080", Target: "foo-:80"}},
		problem.ForwardConflict: {{Listen: "8080", Target: "a:80"}, {Listen: "8080", Target: "b:80"}},
	} {
		_, err := s.Update("demo", Changes{RemoteForwards: &list})
		wantProblem(t, err, code)
		wantProblem(t, Draft{Name: "x", RemoteForwards: list}.Check(), code)
		if m, err := s.Read("demo"); err != nil || len(m.RemoteForwards)+len(m.UnreadForwards) != 0 {
			t.Errorf("kept: %+v, %v", m, err)
		}
	}
}
