// Package rotate keeps a log within a size limit, because its content may come from a
// guest, which can write any amount.
package rotate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// File appends to Path, and puts that aside as Old before it grows beyond Limit
// bytes: of what it writes both together never hold more than twice the limit,
// also where the file cannot be put aside. It is for one goroutine, and one
// process, at a time.
//
// The file is opened by the first Write. When one fails, because the disk is full
// for example, the next one tries again.
type File struct {
	Path, Old string
	Limit     int64
	// Opened, unless nil, is told of each file that is begun or gone on with: for
	// what else goes to the same place, such as the standard error.
	Opened func(*os.File) error

	file *os.File
	size int64
}

// Write appends p, whole and to one file. Of a p that is longer than the limit
// it keeps the end.
func (f *File) Write(p []byte) (int, error) {
	all := len(p)
	if over := int64(len(p)) - f.Limit; over > 0 {
		p = p[over:]
	}
	if err := f.open(); err != nil {
		return 0, err
	}
	if f.size > 0 && f.size+int64(len(p)) > f.Limit {
		if err := f.turn(); err != nil {
			return 0, err
		}
	}
	n, err := f.file.Write(p)
	f.size += int64(n)
	if err != nil {
		return n, err
	}
	return all, nil
}

func (f *File) open() error {
	if f.file != nil {
		return nil
	}
	file, err := os.OpenFile(f.Path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	st, err := file.Stat()
	if err == nil && f.Opened != nil {
		err = f.Opened(file)
	}
	if err != nil {
		file.Close()
		return fmt.Errorf("open the log %s: %w", f.Path, err)
	}
	f.file, f.size = file, st.Size()
	return nil
}

// turn puts the file aside and begins a new one. One that cannot be put aside is
// emptied: the limit holds in every case.
func (f *File) turn() error {
	if err := os.Rename(f.Path, f.Old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		if err := f.file.Truncate(0); err != nil {
			return fmt.Errorf("begin the log %s again: %w", f.Path, err)
		}
		f.size = 0
		return nil
	}
	_ = f.Close() // what it had is written
	return f.open()
}

// Close closes the file; the next Write opens it again.
func (f *File) Close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file, f.size = nil, 0
	return err
}
