package machine

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{
		"30G": 30 << 30, "30": 30 << 30, "512M": 512 << 20, "1T": 1 << 40, "64K": 64 << 10, "4096B": 4096,
		"30g": 30 << 30, "30GiB": 30 << 30, "007G": 7 << 30, "8388607T": 8388607 << 40,
	} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "0", "0G", "-1", "+1", "1.5Q", "1.5G", "30GB", "30 G", "30Q", "G", "1e3", "0x10", "30G\n", "8388608T",
		"9223372036854775808B", "99999999999999999999999G", "٣G",
	} {
		_, err := ParseSize(in)
		wantProblem(t, err, problem.SizeInvalid)
	}
}

func TestFormatSizeUsesTheLargestUnit(t *testing.T) {
	for want, n := range map[string]int64{"30G": 30 << 30, "1T": 1 << 40, "1536M": 1536 << 20, "1K": 1024, "1025B": 1025, "0B": 0} {
		if got := FormatSize(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestEverySizeSurvivesPrinting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(1, 1<<62).Draw(t, "n") >> rapid.IntRange(0, 62).Draw(t, "shift")
		n = max(n, 1)
		if back, err := ParseSize(FormatSize(n)); err != nil || back != n {
			t.Fatalf("%d -> %s -> %d, %v", n, FormatSize(n), back, err)
		}
	})
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"30G", "0", "-1", "1.5Q", "9999999T", "30GiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSize(s)
		if err != nil {
			wantProblem(t, err, problem.SizeInvalid)
			return
		}
		if back, err := ParseSize(FormatSize(n)); n <= 0 || err != nil || back != n {
			t.Errorf("%q = %d, printed %s, back %d, %v", s, n, FormatSize(n), back, err)
		}
	})
}

func TestMemoryIsReadAsPeopleTypeIt(t *testing.T) {
	for typed, want := range map[string]int{"4G": 4096, "512M": 512, " 2048 ": 2048, "8GiB": 8192, "128": 128, "1T": 1 << 20} {
		if got, err := ParseMemory(typed); err != nil || got != want {
			t.Errorf("%q is %d MiB, want %d (%v)", typed, got, want, err)
		}
	}
	for typed, hint := range map[string]string{
		"4": "write 4G", "": "a unit", "0": "a unit", "-1": "a unit", "much": "a unit", "1.5G": "a unit", "1K": "a unit", "17T": "a unit",
		"99999999999999999999": "a unit", "4096B": "a unit",
	} {
		_, err := ParseMemory(typed)
		wantProblem(t, err, problem.SizeInvalid)
		if p := problem.From(err); !strings.Contains(p.Hint, hint) {
			t.Errorf("%q: hint %q does not say %q", typed, p.Hint, hint)
		}
	}
}
