package problem

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
)

func TestAFullDiskHasItsOwnCode(t *testing.T) {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		err := Disk(fmt.Errorf("write x: %w", full))
		if !HasCode(err, DiskFull) || !NoSpace(err) || From(err).Hint == "" {
			t.Errorf("%v became %v", full, err)
		}
	}
	other := errors.New("other")
	if got := Disk(other); !errors.Is(got, other) || HasCode(got, DiskFull) {
		t.Errorf("another error became %v", got)
	}
	if Disk(nil) != nil {
		t.Error("no error became one")
	}
}
