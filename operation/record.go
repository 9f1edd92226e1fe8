package operation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// errTooLarge is a file that no operation has written.
var errTooLarge = fmt.Errorf("it is larger than %d MiB", maxJournal>>20)

// Record is a journal as read back.
type Record struct {
	Path   string
	Header Header
	Last   time.Time // when the operation wrote its last entry

	begun   map[string]bool
	done    map[string]bool
	undone  map[string]bool
	notes   map[string][]json.RawMessage // by step
	undoing bool                         // undoing it had begun

	// unresolved is why it waits for a choice; nil = it was running when its
	// daemon ended.
	unresolved *problem.Error
	touched    bool // unresolved, and its thing has been used since
}

// Unresolved reports whether the operation waits for a choice.
func (r *Record) Unresolved() bool { return r.unresolved != nil }

// ReadJournals returns the unfinished operations whose journals are in dir, oldest
// first. check refuses a header that names what no operation can be about; nil
// takes any. A file that cannot be understood is returned in bad: it is kept, for
// a person.
func ReadJournals(dir string, check func(api.Operation) error) (records []*Record, bad []error, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*"+journalSuffix)) // sorted: ULIDs sort by time
	if err != nil {
		return nil, nil, fmt.Errorf("list the journals: %w", err)
	}
	for _, path := range files {
		r, err := readJournal(path, check)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			bad = append(bad, fmt.Errorf("journal %s: %w", path, err))
		default:
			records = append(records, r)
		}
	}
	return records, bad, nil
}

func readJournal(path string, check func(api.Operation) error) (*Record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err == nil && fi.Size() > maxJournal {
		err = errTooLarge
	}
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(f, maxJournal))
	if err != nil {
		return nil, err
	}
	r := &Record{
		Path: path, Last: fi.ModTime(),
		begun: map[string]bool{}, done: map[string]bool{}, undone: map[string]bool{}, notes: map[string][]json.RawMessage{},
	}
	head, rest, _ := bytes.Cut(content, []byte("\n"))
	err = json.Unmarshal(head, &r.Header)
	if err == nil {
		err = r.Header.check(strings.TrimSuffix(filepath.Base(path), journalSuffix), check)
	}
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	for line := range bytes.Lines(rest) {
		e, ok := parseEntry(line)
		if !ok {
			// The power went while this line was written: what it announces had not
			// begun, because a step acts only after its line is durable.
			break
		}
		r.take(e)
	}
	return r, nil
}

// check refuses a header that is not of the operation id, or that the owner does
// not accept. The names in it reach paths: a file that was edited, or damaged,
// must not lead out of the directories that are ours.
func (h Header) check(id string, check func(api.Operation) error) error {
	switch {
	case h.Version != 1 && h.Version != journalVersion:
		return fmt.Errorf("version %d is not one of 1 to %d", h.Version, journalVersion)
	case h.ID != id:
		return fmt.Errorf("it is of operation %.40q", h.ID)
	case check == nil:
		return nil
	}
	return check(h.value())
}

// take applies one entry. A step may be begun again after it was undone; begun
// again without that, it keeps its notes, which say how far it had come.
func (r *Record) take(e Entry) {
	switch e.Event {
	case "begin":
		r.begun[e.Step] = true
		delete(r.done, e.Step)
		delete(r.undone, e.Step)
	case "done":
		r.done[e.Step] = true
	case "undo":
		r.undoing = true
	case "undone":
		r.undone[e.Step] = true
		delete(r.done, e.Step)
		delete(r.notes, e.Step)
	case "note":
		r.notes[e.Step] = append(r.notes[e.Step], slices.Clone(e.Note))
	case "unresolved":
		r.unresolved, r.Last = &problem.Error{Code: e.Code, Message: e.Message}, e.Time
	case "touched":
		r.touched = true
	}
}

// half reports whether a step had been begun, and neither ended nor was undone.
func (r *Record) half(step string) bool {
	return r.begun[step] && !r.done[step] && !r.undone[step]
}

// progress returns the steps that are done and how many had begun. The last one
// that had begun counts as done when it has come to pass all the same, and so does one
// that was passed over: an earlier version, which wrote the journal, did not have it.
func (r *Record) progress(p Plan) (done map[string]bool, begun int) {
	done = map[string]bool{}
	for i, st := range p.Steps {
		if r.begun[st.Name] {
			begun = i + 1
		}
		if r.done[st.Name] {
			done[st.Name] = true
		}
	}
	for _, st := range p.Steps[:max(begun-1, 0)] {
		if !r.begun[st.Name] {
			done[st.Name] = true
		}
	}
	if begun > 0 && !r.undoing {
		if last := p.Steps[begun-1]; r.half(last.Name) && last.Holds != nil && last.Holds() {
			done[last.Name] = true
		}
	}
	return done, begun
}
