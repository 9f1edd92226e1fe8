package qemuimg

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestPercentOfQemuImg(t *testing.T) {
	var got []float64
	w := percentWriter{report: func(p float64) { got = append(got, p) }}
	for _, part := range []string{"    (0.00/100%)\r    (12.", "50/100%)\r   (x/100%)\r(", "900/100%)\r (100.00/100%)\r\n"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(got) != 3 || got[0] != 0 || got[1] != 12.5 || got[2] != 100 {
		t.Errorf("%v", got)
	}
}

// Whether the file system can or not: there is a whole copy, or none.
func TestAReflinkIsWholeOrNotThere(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	if err := os.WriteFile(from, []byte("blocks"), 0o600); err != nil {
		t.Fatal(err)
	}
	linked := reflink(from, to)
	got, err := os.ReadFile(to)
	if linked == nil && string(got) != "blocks" || linked != nil && !os.IsNotExist(err) {
		t.Errorf("reflink: %v; the copy holds %q, %v", linked, got, err)
	}
	if err := os.WriteFile(to, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if reflink(from, to) == nil {
		t.Error("a file that exists is replaced")
	}
	if got, err := os.ReadFile(to); err != nil || string(got) != "mine" {
		t.Errorf("a file that exists holds %q, %v", got, err)
	}
}

func TestWhatDoesNotFitIsNotBegun(t *testing.T) {
	if err := Room(t.TempDir(), 1<<60); !problem.HasCode(err, problem.DiskFull) {
		t.Errorf("%v", err)
	}
	var st unix.Statfs_t
	if unix.Statfs(t.TempDir(), &st) == nil && st.Bavail > 0 {
		if err := Room(t.TempDir(), 1); err != nil {
			t.Errorf("%v", err)
		}
	}
}
