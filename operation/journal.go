package operation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
)

// Header is the first line of a journal: enough to rebuild the plan, and to know
// whether what it is about is still there.
type Header struct {
	Version int      `json:"version"`
	ID      string   `json:"id"`
	Kind    api.Kind `json:"kind"`
	Machine string   `json:"machine"`
	// Instance of the thing that it acts on, or that it makes. Absent in version 1,
	// and where there is none.
	Instance string          `json:"instance,omitempty"`
	Source   string          `json:"source,omitempty"`
	NewName  string          `json:"newName,omitempty"`
	Client   string          `json:"client,omitempty"`
	Started  time.Time       `json:"started"`
	Args     json.RawMessage `json:"args"`
}

// value is the operation that a header is of.
func (h Header) value() api.Operation {
	return api.Operation{ID: h.ID, Kind: h.Kind, Machine: h.Machine, Source: h.Source, NewName: h.NewName, Client: h.Client, Started: h.Started}
}

// Entry is every later line of a journal.
type Entry struct {
	// Event is "begin", "done", "undo" or "undone" (of a step), "note" (a fact of a
	// running step), "unresolved", or "touched" (unresolved, and its thing has been
	// used since).
	Event string `json:"event"`
	Step  string `json:"step,omitempty"`
	// Note is the fact.
	Note json.RawMessage `json:"note,omitempty"`
	// Why it is unresolved.
	Code    problem.Code `json:"code,omitempty"`
	Message string       `json:"message,omitempty"`
	Time    time.Time    `json:"time,omitzero"`
}

const (
	// journalVersion is what is written; version 1, which knew no instances, is
	// read as well.
	journalVersion = 2
	// journalRoom is reserved on the disk for the entries of one operation, in
	// bytes: an operation on a full disk must be able to note that it is undone.
	journalRoom = 16 << 10
	// maxJournal bounds what is read back, in bytes: the largest part of a journal
	// are the keys that a request brought along, at most as large as a request.
	maxJournal = 16 << 20
	// maxNote bounds one fact, in bytes: facts are ids and names, not contents.
	maxNote = 64 << 10
	// journalSuffix ends the names of journals.
	journalSuffix = ".jsonl"
)

// A journal is one append-only file per operation that has not ended. Each entry
// is on the disk before the step that it announces acts, so that after kill -9 the
// next daemon knows what may have been done. The file is removed when the
// operation has ended, whichever way, except as unresolved.
type journal struct {
	path string
	hook func(Entry) // tests: called after an entry is durable
	// lenient lets an operation go on when an entry finds no space: Verb.Spaceless.
	lenient bool

	mu     sync.Mutex // a step may note something while it is being given up
	file   *os.File   // nil: an operation that goes on without a journal
	closed bool
}

// createJournal writes the header durably: file and directory entry.
func createJournal(dir string, h Header) (*journal, error) {
	h.Version = journalVersion
	line, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode the journal of %s: %w", h.ID, err)
	}
	path := filepath.Join(dir, h.ID+journalSuffix)
	if err := atomicfile.Write(path, append(line, '\n'), 0o600); err != nil {
		return nil, err
	}
	j, err := openJournal(path)
	if err == nil {
		err = j.allocate()
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return j, nil
}

// openJournal opens a journal for more entries. What cannot be read at its end,
// as a power cut leaves it, is cut off: an entry after it would not be read either.
func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxJournal+1))
	if err == nil && len(content) > maxJournal {
		err = errTooLarge
	}
	if end := readable(content); err == nil && end < len(content) {
		if err = f.Truncate(int64(end)); err == nil {
			err = f.Sync()
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	return &journal{path: path, file: f}, nil
}

// readable is the length of the leading part of a journal that is read back: the
// header and the whole entries up to the first that is none.
func readable(content []byte) int {
	end := bytes.IndexByte(content, '\n') + 1
	for line := range bytes.Lines(content[end:]) {
		if _, ok := parseEntry(line); !ok {
			break
		}
		end += len(line)
	}
	return end
}

// parseEntry reads one line; one without its end was not written completely.
func parseEntry(line []byte) (e Entry, ok bool) {
	return e, bytes.HasSuffix(line, []byte("\n")) && json.Unmarshal(line, &e) == nil
}

// allocate reserves room on the disk without making the file longer. A file
// system that cannot do so is not an error.
func (j *journal) allocate() error {
	fi, err := j.file.Stat()
	if err != nil {
		return fmt.Errorf("reserve space for the journal: %w", err)
	}
	err = unix.Fallocate(int(j.file.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, fi.Size()+journalRoom)
	if problem.NoSpace(err) {
		j.close()
		return fmt.Errorf("reserve space for the journal: %w", err)
	}
	return nil
}

// append makes one entry about a step durable.
func (j *journal) append(event, step string) error {
	return j.write(Entry{Event: event, Step: step})
}

// write makes an entry durable.
func (j *journal) write(e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode an entry of the journal: %w", err)
	}
	if written, err := j.writeLine(append(line, '\n')); err != nil || !written {
		return err
	}
	if j.hook != nil {
		j.hook(e)
	}
	return nil
}

// writeLine reports whether there is a journal to write to.
func (j *journal) writeLine(line []byte) (bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return false, nil
	}
	if j.closed {
		return false, fmt.Errorf("write the journal: %w", os.ErrClosed)
	}
	n, err := j.file.Write(line)
	switch {
	case err == nil:
		err = j.file.Sync()
	case n > 0: // half a line: what is written after it would not be read
		err = errors.Join(err, j.cut(n))
	}
	if err != nil && !(j.lenient && problem.NoSpace(err)) {
		return false, problem.Disk(fmt.Errorf("write the journal: %w", err))
	}
	return true, nil
}

// cut takes the last n bytes off.
func (j *journal) cut(n int) error {
	fi, err := j.file.Stat()
	if err == nil {
		err = j.file.Truncate(fi.Size() - int64(n))
	}
	if err != nil {
		return fmt.Errorf("remove a partial line: %w", err)
	}
	return nil
}

// close keeps the file, for the next daemon; remove ends the operation's record.
func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file != nil && !j.closed {
		j.closed = true
		_ = j.file.Close()
	}
}

func (j *journal) remove() error {
	if j.file == nil {
		return nil
	}
	j.close()
	return atomicfile.Remove(j.path)
}
