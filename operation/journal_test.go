package operation

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func testHeader() Header {
	return Header{ID: "01J", Kind: api.KindStop, Machine: "demo", Started: time.Now(), Args: []byte(`{}`)}
}

func TestATornLastLineOfAJournalIsIgnored(t *testing.T) {
	dir := t.TempDir()
	j, err := createJournal(dir, testHeader())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range [][2]string{{"begin", "a"}, {"done", "a"}, {"begin", "b"}} {
		if err := j.append(e[0], e[1]); err != nil {
			t.Fatal(err)
		}
	}
	j.close()
	whole, err := os.ReadFile(j.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(j.path, whole[:len(whole)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := readJournal(j.path, nil)
	if err != nil || !r.done["a"] || r.begun["b"] {
		t.Errorf("read %+v, %v", r, err)
	}
}

func TestAJournalThatCannotBeReadIsKeptAndNamed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "01X.jsonl")
	if err := os.WriteFile(path, []byte("garbage\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	records, bad, err := ReadJournals(dir, nil)
	if err != nil || len(records) != 0 || len(bad) != 1 || !strings.Contains(bad[0].Error(), path) {
		t.Errorf("got %v, %v, %v", records, bad, err)
	}
}

func FuzzReadJournal(f *testing.F) {
	f.Add([]byte(`{"version":1,"id":"x","kind":"stop","machine":"demo","args":{}}` + "\n" + `{"event":"begin","step":"a"}` + "\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "x.jsonl")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := readJournal(path, nil)
		if err != nil {
			return
		}
		p := Plan{Steps: []Step{{Name: "a"}, {Name: "b"}}}
		if done, begun := r.progress(p); len(done) > 2 || begun > 2 {
			t.Errorf("more steps than there are: %v, %d", done, begun)
		}
	})
}

// Half an entry, as a disk that fills up leaves it, is taken back: what comes after
// it would not be read.
func TestAnEntryThatDoesNotFitLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	j, err := createJournal(dir, Header{ID: "one", Kind: api.KindStart, Machine: "demo", Args: []byte("{}")})
	if err != nil {
		t.Fatal(err)
	}
	defer j.close()
	fi, err := j.file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(unix.SIGXFSZ)
	defer signal.Reset(unix.SIGXFSZ)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: uint64(fi.Size()) + 5, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	full := j.append("begin", "start")
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if full == nil {
		t.Fatal("it fits")
	}
	if err := j.write(Entry{Event: "unresolved", Code: problem.Internal, Message: "why"}); err != nil {
		t.Fatal(err)
	}
	if r, err := readJournal(j.path, nil); err != nil || r.unresolved == nil || len(r.begun) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// What a power cut left of a line is not in the way of what is written later.
func TestAnEntryAfterATornLineIsRead(t *testing.T) {
	dir := t.TempDir()
	j, err := createJournal(dir, testHeader())
	if err != nil {
		t.Fatal(err)
	}
	if err := j.append("begin", "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := j.file.WriteString(`{"event":"do`); err != nil {
		t.Fatal(err)
	}
	j.close()
	if j, err = openJournal(j.path); err != nil {
		t.Fatal(err)
	}
	if err := j.append("undone", "a"); err != nil {
		t.Fatal(err)
	}
	j.close()
	if r, err := readJournal(j.path, nil); err != nil || !r.undone["a"] {
		t.Errorf("read %+v, %v", r, err)
	}
}

// A step that an earlier version did not have does not take an operation back behind
// its commit point.
func TestAJournalOfAVersionWithFewerSteps(t *testing.T) {
	p := Plan{Commit: 3, Steps: []Step{{Name: "n"}, {Name: "a"}, {Name: "b"}, {Name: "ready"}}}
	for _, c := range []struct {
		events      string // of the journal: a begin of a step, its end as a capital
		done, begun int
	}{
		{"", 0, 0},
		{"a", 1, 2},
		{"aA", 2, 2},
		{"aAb", 2, 3},
		{"aAbB", 3, 3},
		{"nNaAbB", 3, 3},
		{"n", 0, 1},
	} {
		r := &Record{begun: map[string]bool{}, done: map[string]bool{}, undone: map[string]bool{}}
		for _, e := range c.events {
			step := strings.ToLower(string(e))
			event := "begin"
			if unicode.IsUpper(e) {
				event = "done"
			}
			r.take(Entry{Event: event, Step: step})
		}
		if done, begun := r.progress(p); len(done) != c.done || begun != c.begun {
			t.Errorf("%s: %d steps are done and %d begun, want %d and %d", c.events, len(done), begun, c.done, c.begun)
		}
	}
}
