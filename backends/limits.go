package backends

import (
	"context"

	"github.com/nixvm/nixvm/internal/problem"
)

// MaxVCPUs is the most that a guest of ours can have: from 256 on QEMU wants an
// interrupt remapping that our machines do not have, and TCG and the q35 of QEMU 7.2
// know no more than 288 anyway.
const MaxVCPUs = 255

// Limits are the most that one VM can have on the host of a backend. 0 = not known.
type Limits struct {
	VCPUs     int
	MemoryMiB int // more would not even be reserved
}

// LimitedHost is a backend that knows them.
type LimitedHost interface {
	// Limits asks the host. What it does not tell in time is not limited.
	Limits(ctx context.Context) Limits
}

// CheckVCPUs refuses a number of virtual CPUs that no VM there can have.
func (l Limits) CheckVCPUs(n int) error {
	if l.VCPUs == 0 || n <= l.VCPUs {
		return nil
	}
	return problem.New(problem.SizeInvalid, "%d virtual CPUs are more than the maximum of this backend: %d", n, l.VCPUs).
		WithHint("choose a number from 1 to %d; more than the CPUs of the host make a VM slower, not faster", l.VCPUs)
}

// CheckMemory refuses more memory than the host has.
func (l Limits) CheckMemory(mib int) error {
	if l.MemoryMiB == 0 || mib <= l.MemoryMiB {
		return nil
	}
	return problem.New(problem.SizeInvalid, "%d MiB of memory are more than the host has: %d MiB", mib, l.MemoryMiB).
		WithHint("choose at most %d MiB, and leave some for the host", l.MemoryMiB)
}

// Check refuses a VM that cannot be started as its files say.
func (l Limits) Check(s Spec) error {
	for file, err := range map[string]error{"vcpus": l.CheckVCPUs(s.VCPUs), "memory": l.CheckMemory(s.MemoryMiB)} {
		if err != nil {
			return problem.New(problem.SizeInvalid, "%s of %s: %w", file, s.Name, err).
				WithHint("nixvmd configure %s --%s sets another value", s.Name, file)
		}
	}
	return nil
}
