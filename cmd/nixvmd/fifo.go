package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// fifo is a named pipe that the daemon writes to, and whose content is passed on.
type fifo struct {
	path   string
	hold   *os.File // keeps the pipe from ending before the daemon has begun to write
	from   *os.File
	result chan error
}

// newFifo makes a pipe for this user, and copies what comes through it to w.
func newFifo(w io.Writer) (*fifo, error) {
	dir, err := os.MkdirTemp("", "nixvm-export-")
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	p := &fifo{path: filepath.Join(dir, "archive"), result: make(chan error, 1)}
	if err = unix.Mkfifo(p.path, 0o600); err == nil {
		p.hold, err = os.OpenFile(p.path, os.O_RDWR|unix.O_NONBLOCK, 0)
	}
	if err == nil {
		p.from, err = os.OpenFile(p.path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	}
	if err != nil {
		if p.hold != nil {
			p.hold.Close()
		}
		return nil, errors.Join(fmt.Errorf("make a pipe: %w", err), os.RemoveAll(dir))
	}
	go func() {
		_, err := io.Copy(w, p.from)
		if err != nil { // the daemon notices
			p.hold.Close()
			p.from.Close()
		}
		p.result <- err
	}()
	return p, nil
}

// close passes on what is left, after the daemon has closed its end.
func (p *fifo) close() error {
	p.hold.Close()
	err := <-p.result
	p.from.Close()
	return errors.Join(err, os.RemoveAll(filepath.Dir(p.path)))
}
