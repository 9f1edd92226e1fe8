package backends

import (
	"strings"
	"testing"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestWhatAHostCannotGiveIsRefused(t *testing.T) {
	l := Limits{VCPUs: 255, MemoryMiB: 16000}
	for _, c := range []struct {
		what  string
		err   error
		wrong bool
	}{
		{"the most", l.CheckVCPUs(255), false},
		{"one more", l.CheckVCPUs(256), true},
		{"all memory", l.CheckMemory(16000), false},
		{"more", l.CheckMemory(16001), true},
		{"CPUs where nothing is known", Limits{}.CheckVCPUs(900), false},
		{"memory where nothing is known", Limits{}.CheckMemory(1 << 30), false},
		{"a machine's CPUs", l.Check(Spec{Name: "vm", VCPUs: 900, MemoryMiB: 1}), true},
		{"a machine's memory", l.Check(Spec{Name: "vm", VCPUs: 1, MemoryMiB: 16001}), true},
		{"a machine", l.Check(Spec{Name: "vm", VCPUs: 1, MemoryMiB: 1}), false},
	} {
		if (c.err != nil) != c.wrong || c.wrong && (!problem.HasCode(c.err, problem.SizeInvalid) || problem.From(c.err).Hint == "") {
			t.Errorf("%s: %v", c.what, c.err)
		}
	}
	if err := l.Check(Spec{Name: "vm", VCPUs: 900, MemoryMiB: 1}); !strings.Contains(err.Error(), "vcpus of vm") {
		t.Errorf("%v", err)
	}
}
