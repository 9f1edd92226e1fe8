package machine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// readDir reads the files that we know of a machine directory. A directory
// without any is not a machine's: the error is then a *Fault, as for a file
// that cannot be read.
func readDir(dir string) (content, error) {
	c, err := readEach(dir, func(_ string, err error) error { return err })
	if err == nil && len(c) == 0 {
		err = &Fault{
			File: dir, Reason: "the directory contains no machine files",
			Hint: "remove the directory, or add a file named profile, e.g. with the line: core",
		}
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// readEach reads the files that we know of a machine directory. failed is told of one
// that cannot be read, and returns nil to go on without it.
func readEach(dir string, failed func(file string, err error) error) (content, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	c := content{}
	for _, e := range entries {
		if !known(e.Name()) {
			continue
		}
		data, err := readFile(root, e.Name())
		if errors.Is(err, fs.ErrNotExist) && e.Type()&fs.ModeSymlink == 0 {
			continue // removed since the directory was listed
		}
		if err == nil {
			c[e.Name()] = data
		} else if err := failed(e.Name(), err); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func known(file string) bool {
	if file == HostKeyPubFile {
		return true
	}
	for _, s := range settings {
		if s.file == file {
			return true
		}
	}
	return false
}

// readFile reads one bounded regular file. O_NONBLOCK keeps a FIFO from
// holding us for ever.
func readFile(root *os.Root, file string) ([]byte, error) {
	path := filepath.Join(root.Name(), file)
	open := os.OpenFile
	if isSecret(file) {
		open = func(_ string, flag int, mode os.FileMode) (*os.File, error) { return root.OpenFile(file, flag, mode) }
	}
	f, err := open(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, openFault(root, file, err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, &Fault{File: path, Reason: "this is not a regular file", Hint: "replace it with a text file, or remove it"}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(data) > maxFileBytes {
		return nil, &Fault{
			File: path, Reason: fmt.Sprintf("the file is larger than %d KiB", maxFileBytes>>10),
			Hint: "check that it is the right file",
		}
	}
	return data, nil
}

func openFault(root *os.Root, file string, err error) error {
	path := filepath.Join(root.Name(), file)
	fi, statErr := root.Lstat(file)
	link := statErr == nil && fi.Mode()&fs.ModeSymlink != 0
	switch {
	case errors.Is(err, fs.ErrPermission):
		return &Fault{File: path, Reason: "permission denied", Hint: "change its owner to the user who runs nixvmd"}
	case link && errors.Is(err, fs.ErrNotExist):
		return &Fault{File: path, Reason: "the symlink is dangling", Hint: "restore its target, or replace the symlink with a file"}
	case link:
		return &Fault{
			File: path, Reason: "this secret is a symlink to outside the machine directory",
			Hint: "replace the symlink with a copy: its content is given to the guest",
		}
	}
	return err
}
