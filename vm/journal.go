package vm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nixvm/nixvm/internal/atomicfile"
)

// A journal is one append-only file per operation that has not ended. Each
// entry is on the disk before the step that it announces acts, so that after
// kill -9 the next daemon knows what may have been done. The file is removed
// when the operation has ended, whichever way.
type journal struct {
	path string
	file *os.File
	hook func(journalEntry) // tests: called after an entry is durable
}

// journalHeader is the first line: enough to rebuild the plan.
type journalHeader struct {
	Version int             `json:"version"`
	ID      string          `json:"id"`
	Kind    Kind            `json:"kind"`
	Machine string          `json:"machine"`
	Source  string          `json:"source,omitempty"`
	Client  string          `json:"client,omitempty"`
	Started time.Time       `json:"started"`
	Args    json.RawMessage `json:"args"`
}

// journalEntry is every later line.
type journalEntry struct {
	Event string `json:"event"` // "begin", "done", "undo", "undone"
	Step  string `json:"step"`
}

const journalVersion = 1

// createJournal writes the header durably: file and directory entry.
func createJournal(dir string, h journalHeader) (*journal, error) {
	h.Version = journalVersion
	line, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode the journal of %s: %w", h.ID, err)
	}
	path := filepath.Join(dir, h.ID+".jsonl")
	if err := atomicfile.Write(path, append(line, '\n'), 0o600); err != nil {
		return nil, err
	}
	return openJournal(path)
}

func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	return &journal{path: path, file: f}, nil
}

// append makes one entry durable.
func (j *journal) append(event, step string) error {
	e := journalEntry{Event: event, Step: step}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("sync the journal: %w", err)
	}
	if j.hook != nil {
		j.hook(e)
	}
	return nil
}

// close keeps the file, for the next daemon; remove ends the operation's record.
func (j *journal) close() { _ = j.file.Close() }

func (j *journal) remove() error {
	j.close()
	return atomicfile.Remove(j.path)
}

// journalRecord is a journal as read back.
type journalRecord struct {
	path    string
	header  journalHeader
	begun   map[string]bool
	done    map[string]bool
	undone  map[string]bool
	undoing bool // taking it back had begun
}

// readJournals returns the unfinished operations, oldest first. A file that
// cannot be understood is returned by path in bad: it is kept, for a person.
func readJournals(dir string) (records []journalRecord, bad []string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl")) // sorted: ULIDs sort by time
	if err != nil {
		return nil, nil, err
	}
	for _, path := range files {
		r, err := readJournal(path)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			bad = append(bad, path)
		default:
			records = append(records, r)
		}
	}
	return records, bad, nil
}

func readJournal(path string) (journalRecord, error) {
	r := journalRecord{path: path, begun: map[string]bool{}, done: map[string]bool{}, undone: map[string]bool{}}
	content, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	head, rest, _ := bytes.Cut(content, []byte("\n"))
	if err := json.Unmarshal(head, &r.header); err != nil {
		return r, fmt.Errorf("journal %s: header: %w", path, err)
	}
	if r.header.Version != journalVersion || r.header.ID != strings.TrimSuffix(filepath.Base(path), ".jsonl") {
		return r, fmt.Errorf("journal %s: not version %d or not its own name", path, journalVersion)
	}
	for line := range bytes.Lines(rest) {
		var e journalEntry
		if json.Unmarshal(line, &e) != nil {
			// The power went while this line was written: what it announces
			// had not begun, because a step acts only after its line is durable.
			break
		}
		switch e.Event {
		case "begin":
			r.begun[e.Step] = true
		case "done":
			r.done[e.Step] = true
		case "undo":
			r.undoing = true
		case "undone":
			r.undone[e.Step] = true
		}
	}
	return r, nil
}
