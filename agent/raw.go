package agent

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// entry is a path that differs between two trees.
type entry struct {
	path   string // as it is in the tree: any bytes
	long   bool   // path is its beginning: it is longer than any that this host can have
	mode   string // the new one
	object string // the new one, full
	status string // added, modified, deleted or retyped
}

var statuses = map[byte]string{'A': "added", 'M': "modified", 'D': "deleted", 'T': "retyped"}

// errEnough ends a stream whose rest is not wanted.
var errEnough = errors.New("enough")

// readRaw calls each for the entries of git diff-tree -r -z --raw --no-renames --no-abbrev,
// until the end or an error.
func readRaw(r io.Reader, each func(entry) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		head, _, err := record(in)
		switch {
		case errors.Is(err, io.EOF) && len(head) == 0:
			return nil
		case err != nil:
			return fmt.Errorf("read the list of changes: %w", err)
		}
		fields := strings.Fields(string(head))
		if len(fields) != 5 || !strings.HasPrefix(fields[0], ":") || statuses[fields[4][0]] == "" {
			return fmt.Errorf("git has listed a change as %.80q", head)
		}
		name, long, err := record(in)
		if err != nil {
			return fmt.Errorf("read the list of changes: %w", err)
		}
		e := entry{path: string(name), long: long, mode: fields[1], object: fields[3], status: statuses[fields[4][0]]}
		if err := each(e); err != nil {
			return err
		}
	}
}

// record reads up to the next NUL and keeps its first maxPath bytes.
func record(in *bufio.Reader) (kept []byte, cut bool, err error) {
	for {
		part, err := in.ReadSlice(0)
		end := err == nil
		if end {
			part = part[:len(part)-1]
		}
		if room := maxPath - len(kept); len(part) > room {
			part, cut = part[:room], true
		}
		kept = append(kept, bytes.Clone(part)...)
		switch {
		case end:
			return kept, cut, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return kept, cut, err
		}
	}
}
