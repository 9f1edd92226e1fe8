package machine

import (
	"math"
	"regexp"
	"strconv"

	"github.com/nixvm/nixvm/internal/problem"
)

// The state disk's limits: smaller holds no ext4 with a journal, larger is
// where ext4's defaults and a typing mistake meet.
const (
	MinDiskBytes = 64 << 20
	MaxDiskBytes = 64 << 40
)

var sizeRE = regexp.MustCompile(`^([0-9]{1,19})(?:([KMGTkmgt])(?:iB)?|B)?$`)

// sizeUnits is ordered from the largest, for printing.
var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"T", 1 << 40}, {"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}}

const sizeHint = "write a whole number and a unit, K, M, G or T (powers of 1024), e.g. 30G or 512M; a bare number means G"

// ParseSize reads a size: "30G", "512M", "1T", "30GiB", "4096B". A bare number
// means GiB, as nixos-vm-template has it. It returns bytes, always more than 0;
// the problem is size.invalid.
func ParseSize(s string) (int64, error) {
	g := sizeRE.FindStringSubmatch(s)
	if g == nil {
		return 0, sizeProblem("%s is not a size", quote(s))
	}
	n, err := strconv.ParseInt(g[1], 10, 64)
	if err != nil {
		return 0, sizeProblem("%s is too large a size", quote(s))
	}
	if n == 0 {
		return 0, sizeProblem("%s is not a size: it must be more than 0", quote(s))
	}
	factor := unitBytes(s, g[2])
	if n > math.MaxInt64/factor {
		return 0, sizeProblem("%s is too large a size", quote(s))
	}
	return n * factor, nil
}

func unitBytes(s, unit string) int64 {
	switch unit {
	case "K", "k":
		return 1 << 10
	case "M", "m":
		return 1 << 20
	case "T", "t":
		return 1 << 40
	case "":
		if s[len(s)-1] == 'B' {
			return 1
		}
	}
	return 1 << 30
}

// FormatSize prints n bytes in the largest unit that divides it, so that
// ParseSize gives n back.
func FormatSize(n int64) string {
	for _, u := range sizeUnits {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

func sizeProblem(format string, args ...any) error {
	return problem.New(problem.SizeInvalid, format, args...).WithHint(sizeHint)
}
