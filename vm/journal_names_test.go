package vm

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
)

// header is a journal with one step begun, as a user may have edited it.
func header(id string, change func(h map[string]any)) string {
	h := map[string]any{
		"version": 2, "id": id, "kind": "purge", "machine": "demo", "started": time.Now(),
		"args": map[string]any{"backends": []string{"test"}, "machine": true},
	}
	change(h)
	line, err := json.Marshal(h)
	if err != nil {
		panic(err)
	}
	return string(line) + "\n" + `{"event":"begin","step":"disconnect"}` + "\n"
}

// Names in a journal reach paths: a purge of "" would remove all machines, one of
// "../.." everything that the user has.
func TestAJournalThatNamesNoMachineTouchesNothing(t *testing.T) {
	create := map[string]any{"draft": map[string]any{"Name": "../victim"}, "declare": true}
	bad := map[string]func(h map[string]any){
		"no machine":                   func(h map[string]any) { h["machine"] = "" },
		"a machine outside":            func(h map[string]any) { h["machine"] = "../../victim" },
		"an absolute path":             func(h map[string]any) { h["machine"] = "/etc" },
		"a machine with a slash":       func(h map[string]any) { h["machine"] = "demo/x" },
		"an unknown kind":              func(h map[string]any) { h["kind"] = "explode" },
		"a build of an image, of demo": func(h map[string]any) { h["kind"] = "build-image" },
		"a clone without source":       func(h map[string]any) { h["kind"] = "clone" },
		"a clone of what is outside":   func(h map[string]any) { h["kind"], h["source"] = "clone", "../victim" },
		"another id":                   func(h map[string]any) { h["id"] = "01M" },
		"a newer version":              func(h map[string]any) { h["version"] = 3 },
		"a create of another machine":  func(h map[string]any) { h["kind"], h["args"] = "create", create },
		"a snapshot that is none":      func(h map[string]any) { h["kind"], h["args"] = "snapshot", map[string]any{"snapshot": "../x"} },
		"arguments that are none":      func(h map[string]any) { h["args"] = "none" },
	}
	home := shortDir(t)
	h := open(t, home, images{}, nil, nil)
	victim := filepath.Join(h.layout.Machines(), "victim", "precious")
	if err := os.MkdirAll(filepath.Dir(victim), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(victim, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.create(t, "demo")
	before := tree(t, h.layout.Data)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for what, change := range bad {
		t.Run(what, func(t *testing.T) {
			n++
			id := fmt.Sprintf("01J%023d", n)
			path := filepath.Join(h.layout.Journal(), id+".jsonl")
			if err := os.WriteFile(path, []byte(header(id, change)), 0o600); err != nil {
				t.Fatal(err)
			}
			next := open(t, home, images{}, nil, nil)
			next.idleAll(t, next)
			if after := tree(t, h.layout.Data); after != before {
				t.Errorf("it has changed:\n%s\nbefore:\n%s", after, before)
			}
			if v, err := next.Get("demo"); err != nil || v.State != backends.Running {
				t.Errorf("demo is %+v, %v", v, err)
			}
			found := false
			for _, f := range next.Doctor(background) {
				found = found || f.Code == "journal.unreadable" && strings.Contains(f.Message, path) && f.Fix != ""
			}
			if !found {
				t.Error("the doctor does not name the file")
			}
			if err := os.Remove(path); err != nil {
				t.Errorf("the file is not kept: %v", err)
			}
		})
	}
}

// Journals of the version before: what ran when its daemon died is taken up where
// the VM is proven to be the same.
func TestAJournalOfVersion1IsTakenUp(t *testing.T) {
	for what, started := range map[string]func(made time.Time) time.Time{
		"begun after the VM was made":  func(made time.Time) time.Time { return made.Add(time.Second) },
		"begun before the VM was made": func(made time.Time) time.Time { return made.Add(-time.Second) },
	} {
		t.Run(what[:11], func(t *testing.T) {
			home := shortDir(t)
			h := open(t, home, images{}, nil, nil)
			h.create(t, "demo")
			made := h.recordOf("demo").Created
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			id := "01J00000000000000000000000"
			text := header(id, func(h map[string]any) {
				h["version"], h["kind"], h["args"], h["started"] = 1, "stop", map[string]any{"timeout": time.Minute}, started(made)
			})
			if err := os.WriteFile(filepath.Join(h.layout.Journal(), id+".jsonl"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			next := open(t, home, images{}, nil, nil)
			next.idleAll(t, next)
			v, err := next.Get("demo")
			want := backends.Stopped
			if strings.Contains(what, "before") {
				want = backends.Running // that was another VM
			}
			if err != nil || v.State != want {
				t.Errorf("it is %s, %v; want %s", v.State, err, want)
			}
			wantNoJournal(t, next)
		})
	}
}

// Of two journals of one machine, as kill leaves them when it got past a snapshot,
// the newer one ran on.
func TestTwoJournalsOfOneMachineAreBothSettled(t *testing.T) {
	home := shortDir(t)
	h := open(t, home, images{}, nil, nil)
	h.create(t, "demo")
	instance := h.instanceOf("demo")
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	for id, change := range map[string]func(h map[string]any){
		"01J00000000000000000000001": func(h map[string]any) {
			h["kind"], h["args"] = "start", map[string]any{"wasOff": true}
		},
		"01J00000000000000000000002": func(h map[string]any) { h["kind"], h["args"] = "kill", map[string]any{} },
	} {
		text := header(id, func(h map[string]any) {
			change(h)
			h["instance"] = instance
		})
		if strings.HasSuffix(id, "1") {
			text += `{"event":"begin","step":"start"}` + "\n"
		}
		if err := os.WriteFile(filepath.Join(h.layout.Journal(), id+".jsonl"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	next := open(t, home, images{}, nil, nil)
	next.idleAll(t, next)
	if v, err := next.Get("demo"); err != nil || v.State != backends.Stopped {
		t.Errorf("it is %+v, %v", v, err)
	}
	wantNoJournal(t, next)
}
