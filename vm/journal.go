package vm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

// A journal is one append-only file per operation that has not ended. Each
// entry is on the disk before the step that it announces acts, so that after
// kill -9 the next daemon knows what may have been done. The file is removed
// when the operation has ended, whichever way, except as unresolved.
type journal struct {
	path string
	file *os.File           // nil: an operation that goes on without a journal
	hook func(journalEntry) // tests: called after an entry is durable
	// lenient lets an operation go on when an entry finds no space: see spaceless.
	lenient bool
}

// journalHeader is the first line: enough to rebuild the plan, and to know
// whether what it is about is still there.
type journalHeader struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	Kind    Kind   `json:"kind"`
	Machine string `json:"machine"`
	// Instance of the VM that it acts on, or that it makes: see record.instance.
	// Absent in version 1, and where there is none.
	Instance string          `json:"instance,omitempty"`
	Source   string          `json:"source,omitempty"`
	Client   string          `json:"client,omitempty"`
	Started  time.Time       `json:"started"`
	Args     json.RawMessage `json:"args"`
}

// journalEntry is every later line.
type journalEntry struct {
	Event string `json:"event"` // "begin", "done", "undo", "undone", "unresolved", "touched"
	Step  string `json:"step,omitempty"`
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
	// maxJournal bounds what is read back: the largest part of a journal are the
	// keys that a request brought along, at most as large as a request.
	maxJournal = 16 << 20
)

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
	j, err := openJournal(path)
	if err == nil {
		err = j.allocate()
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return j, nil
}

// openJournal opens a journal for more entries. What a power cut left of its
// last line goes: an entry after it would not be read.
func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxJournal))
	if end := bytes.LastIndexByte(content, '\n') + 1; err == nil && end < len(content) {
		err = f.Truncate(int64(end))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	return &journal{path: path, file: f}, nil
}

// allocate reserves room on the disk without making the file longer. A file
// system that cannot do so is not an error.
func (j *journal) allocate() error {
	fi, err := j.file.Stat()
	if err != nil {
		return fmt.Errorf("reserve room for the journal: %w", err)
	}
	err = unix.Fallocate(int(j.file.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, fi.Size()+journalRoom)
	if noSpace(err) {
		j.close()
		return fmt.Errorf("reserve room for the journal: %w", err)
	}
	return nil
}

// append makes one entry durable.
func (j *journal) append(event, step string) error {
	return j.write(journalEntry{Event: event, Step: step})
}

func (j *journal) write(e journalEntry) error {
	if j.file == nil {
		return nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	n, err := j.file.Write(append(line, '\n'))
	switch {
	case err == nil:
		err = j.file.Sync()
	case n > 0: // half a line: what is written after it would not be read
		err = errors.Join(err, j.cut(n))
	}
	if err != nil && !(j.lenient && noSpace(err)) {
		return diskProblem(fmt.Errorf("write the journal: %w", err))
	}
	if j.hook != nil {
		j.hook(e)
	}
	return nil
}

// cut takes the last n bytes off.
func (j *journal) cut(n int) error {
	fi, err := j.file.Stat()
	if err == nil {
		err = j.file.Truncate(fi.Size() - int64(n))
	}
	if err != nil {
		return fmt.Errorf("take half a line back: %w", err)
	}
	return nil
}

// noSpace reports whether a file could not be written because the disk is full,
// or the user's share of it.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// close keeps the file, for the next daemon; remove ends the operation's record.
func (j *journal) close() {
	if j.file != nil {
		_ = j.file.Close()
	}
}

func (j *journal) remove() error {
	if j.file == nil {
		return nil
	}
	j.close()
	return removeJournal(j.path)
}

func removeJournal(path string) error { return atomicfile.Remove(path) }

// journalRecord is a journal as read back.
type journalRecord struct {
	path    string
	header  journalHeader
	begun   map[string]bool
	done    map[string]bool
	undone  map[string]bool
	undoing bool      // taking it back had begun
	last    time.Time // when the operation wrote its last entry

	// unresolved is why it waits for a choice; nil = it was running when its
	// daemon ended.
	unresolved *problem.Error
	touched    bool // unresolved, and the machine has been used since
}

// readJournals returns the unfinished operations, oldest first. A file that
// cannot be understood is returned in bad: it is kept, for a person.
func readJournals(dir string) (records []journalRecord, bad []error, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl")) // sorted: ULIDs sort by time
	if err != nil {
		return nil, nil, err
	}
	for _, path := range files {
		r, err := readJournal(path)
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

func readJournal(path string) (journalRecord, error) {
	r := journalRecord{path: path, begun: map[string]bool{}, done: map[string]bool{}, undone: map[string]bool{}}
	f, err := os.Open(path)
	if err != nil {
		return r, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err == nil && fi.Size() > maxJournal {
		err = fmt.Errorf("it is larger than %d MiB", maxJournal>>20)
	}
	if err != nil {
		return r, err
	}
	r.last = fi.ModTime()
	content, err := io.ReadAll(f)
	if err != nil {
		return r, err
	}
	head, rest, _ := bytes.Cut(content, []byte("\n"))
	if err := json.Unmarshal(head, &r.header); err != nil {
		return r, fmt.Errorf("header: %w", err)
	}
	if err := r.header.check(strings.TrimSuffix(filepath.Base(path), ".jsonl")); err != nil {
		return r, fmt.Errorf("header: %w", err)
	}
	for line := range bytes.Lines(rest) {
		var e journalEntry
		if json.Unmarshal(line, &e) != nil {
			// The power went while this line was written: what it announces
			// had not begun, because a step acts only after its line is durable.
			break
		}
		r.take(e)
	}
	return r, nil
}

// take applies one entry. A step may be begun again after it was undone.
func (r *journalRecord) take(e journalEntry) {
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
	case "unresolved":
		r.unresolved, r.last = &problem.Error{Code: e.Code, Message: e.Message}, e.Time
	case "touched":
		r.touched = true
	}
}

// check refuses a header that names what no operation can be about. The names in
// it reach paths: a file that somebody has edited, or damaged, must not lead out
// of the directories that are ours.
func (h journalHeader) check(id string) error {
	about, known := subjects[h.Kind]
	switch {
	case h.Version != 1 && h.Version != journalVersion:
		return fmt.Errorf("version %d is not one of 1 to %d", h.Version, journalVersion)
	case h.ID != id:
		return fmt.Errorf("it is of operation %.40q", h.ID)
	case !known:
		return fmt.Errorf("there is no kind of operation %.40q", h.Kind)
	case about.machine != (h.Machine != ""):
		return fmt.Errorf("%s of machine %q", h.Kind, h.Machine)
	case about.source != (h.Source != ""):
		return fmt.Errorf("%s from machine %q", h.Kind, h.Source)
	}
	for _, name := range []string{h.Machine, h.Source} {
		if name == "" {
			continue
		}
		if err := machine.ValidName(name); err != nil {
			return err
		}
	}
	return nil
}
