package renew

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// File is a medium that is a file of this host, by its path. It is not replaced: the
// QEMU that has it open is to see the new content.
type File string

// Read returns the content.
func (f File) Read(context.Context) ([]byte, error) {
	file, err := os.OpenFile(string(f), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	const most = 16 << 20
	content, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && len(content) > most {
		err = fmt.Errorf("%s has more than %d bytes", f, most)
	}
	return content, err
}

// Write overwrites the content.
func (f File) Write(_ context.Context, content []byte) error {
	file, err := os.OpenFile(string(f), os.O_WRONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(content, 0)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}
