package qemu

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

// takeLock makes this Backend the owner of a VM's directory until the file is
// closed. The kernel lets go of it when the process dies, however it dies.
func takeLock(path, name string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock VM %s: %w", name, err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, problem.New(problem.VMBusy, "VM %s is held by another nixvmd", name).
			WithHint("stop the other daemon, or use it").Retry()
	}
	return nil, fmt.Errorf("lock VM %s: %w", name, err)
}
