package qemu

import (
	"context"
	"os"
	"strconv"
	"strings"

	"github.com/nixvm/nixvm/backends"
)

// Limits are what QEMU and the memory of this host allow.
func (b *Backend) Limits(context.Context) backends.Limits {
	return backends.Limits{VCPUs: backends.MaxVCPUs, MemoryMiB: hostMemory()}
}

var _ backends.LimitedHost = (*Backend)(nil)

// hostMemory is the memory of this host with its swap, in MiB; 0 = it cannot be told.
func hostMemory() (mib int) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line) // "MemTotal:  16000000 kB"
		if len(fields) < 2 || fields[0] != "MemTotal:" && fields[0] != "SwapTotal:" {
			continue
		}
		kib, err := strconv.Atoi(fields[1])
		if err != nil {
			return 0
		}
		mib += kib >> 10
	}
	return mib
}
