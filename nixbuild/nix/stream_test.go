package nix

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/internal/progress"
)

var update = flag.Bool("update", false, "write the golden files again")

// transcript is what a stream tells about a log, a line for each report, and
// the failure at its end.
func transcript(t *testing.T, log string) string {
	t.Helper()
	var b strings.Builder
	s := NewStream("image", func(u progress.Update) {
		if u.Log != "" || u.Message == "" {
			fmt.Fprintf(&b, "log: %s\n", u.Log)
			return
		}
		fmt.Fprintf(&b, "%d of %d: %s\n", u.Current, u.Total, u.Message)
	})
	if err := s.Read(strings.NewReader(log)); err != nil {
		t.Fatal(err)
	}
	f := s.Failure()
	if f.Message == "" {
		return b.String()
	}
	fmt.Fprintf(&b, "FAILURE: %s\n", f.Message)
	if f.Derivation != "" {
		fmt.Fprintf(&b, "of %s:\n  %s\n", f.Derivation, strings.Join(f.Output, "\n  "))
	}
	return b.String()
}

func TestStreamsOfAllVersionsMeanThis(t *testing.T) {
	logs, err := filepath.Glob("testdata/stream/*.jsonl")
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	for _, name := range logs {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".jsonl"), func(t *testing.T) {
			log, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := transcript(t, string(log))
			golden := strings.TrimSuffix(name, ".jsonl") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestALongLogTakesNoMoreMemoryThanAShortOne(t *testing.T) {
	s := NewStream("image", nil)
	if err := s.Read(&longLog{builds: 20_000, lines: 10}); err != nil {
		t.Fatal(err)
	}
	if got := s.Progress(); got.Built != 20_000 || got.ToBuild != 20_000 {
		t.Errorf("counted %d of %d", got.Built, got.ToBuild)
	}
	kept := 0
	for _, b := range append(s.builds, s.ended...) {
		kept += len(b.output.lines)
	}
	if limit := (most + keptBuilds) * tailLines; kept > limit {
		t.Errorf("%d lines are kept, want at most %d", kept, limit)
	}
	if n := len(s.building.running) + len(s.copying.running) + len(s.loading.running); n > 3*most {
		t.Errorf("%d activities are kept", n)
	}
}

func TestALineWithoutEndIsNotKept(t *testing.T) {
	var heard int
	s := NewStream("image", func(u progress.Update) { heard += len(u.Log) })
	endless := io.MultiReader(strings.NewReader("@nix {"), &io.LimitedReader{R: zeros{}, N: 5 * longestLine}, strings.NewReader("\nthe next line\n"))
	if err := s.Read(endless); err != nil {
		t.Fatal(err)
	}
	if heard != len("the next line") {
		t.Errorf("passed on %d bytes", heard)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

// longLog is the log of many derivations, each with some lines of output, as a
// nix would write that stops its activities only at the end.
type longLog struct {
	builds, lines int
	at            int
	rest          []byte
}

func (l *longLog) Read(p []byte) (int, error) {
	for len(l.rest) == 0 {
		if l.at > l.builds {
			return 0, io.EOF
		}
		l.rest = l.next(l.rest[:0])
		l.at++
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func (l *longLog) next(b []byte) []byte {
	const builds = 7
	if l.at == 0 {
		return fmt.Appendf(b, "@nix {\"action\":\"start\",\"id\":%d,\"level\":0,\"text\":\"\",\"type\":104}\n", builds)
	}
	id := 1000 + l.at
	b = fmt.Appendf(b, "@nix {\"action\":\"start\",\"fields\":[\"/nix/store/i553bcy9gnafvmj2p8iapj8mls5pp70m-package-%d.drv\",\"\",1,1],\"id\":%d,\"level\":3,\"text\":\"building\",\"type\":105}\n", l.at, id)
	for i := range l.lines {
		b = fmt.Appendf(b, "@nix {\"action\":\"result\",\"fields\":[\"  CC [M]  drivers/net/ethernet/file-%d.o with some more words\"],\"id\":%d,\"type\":101}\n", i, id)
	}
	return fmt.Appendf(b, "@nix {\"action\":\"result\",\"fields\":[%d,%d,0,0],\"id\":%d,\"type\":105}\n", l.at, l.builds, builds)
}

// FuzzStream also checks, for any input, that no count decreases.
func FuzzStream(f *testing.F) {
	logs, err := filepath.Glob("testdata/stream/*.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range logs {
		log, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(log))
	}
	f.Fuzz(func(t *testing.T, log string) {
		s := NewStream("image", func(u progress.Update) {
			if strings.ContainsAny(u.Log+u.Message, "\x1b\n\r") {
				t.Errorf("control characters are passed on: %q", u.Log+u.Message)
			}
		})
		before := s.Progress()
		for line := range strings.Lines(log) {
			s.Line([]byte(line))
			now := s.Progress()
			if now.Built < before.Built || now.ToBuild < before.ToBuild || now.Copied < before.Copied || now.ToCopy < before.ToCopy ||
				now.Loaded < before.Loaded || now.ToLoad < before.ToLoad || before.Phase == Realising && now.Phase == Evaluating {
				t.Fatalf("after %q: %+v, before %+v", line, now, before)
			}
			if now.Built > now.ToBuild || now.Copied > now.ToCopy {
				t.Fatalf("after %q: more than there is: %+v", line, now)
			}
			before = now
		}
		s.Failure()
	})
}

func BenchmarkStream(b *testing.B) {
	b.ReportAllocs()
	lines := 0
	for b.Loop() {
		log := &longLog{builds: 1000, lines: 100}
		if err := NewStream("image", func(progress.Update) {}).Read(log); err != nil {
			b.Fatal(err)
		}
		lines += log.builds * (log.lines + 2)
	}
	b.ReportMetric(float64(lines)/b.Elapsed().Seconds(), "lines/s")
}

func TestTheShortWayReadsWhatTheLongOneDoes(t *testing.T) {
	for _, line := range []string{
		`@nix {"action":"result","fields":["plain, ünïcode"],"id":18446744073709551615,"type":101}`,
		`@nix {"action":"result","fields":[""],"id":5,"type":101}`,
		`@nix {"action":"result","fields":["esc\u001b[1m \"quoted\" \\"],"id":5,"type":101}`,
		`@nix {"action":"result","fields":["a","b"],"id":5,"type":101}`,
		`@nix {"action":"result","fields":["a"],"id":-5,"type":101}`,
		`@nix {"action":"result","fields":["a"],"id":5,"id":6,"type":101}`,
		"@nix {\"action\":\"result\",\"fields\":[\"\xff\"],\"id\":5,\"type\":101}",
	} {
		text, id, ok := parseOutput([]byte(line))
		if !ok {
			continue
		}
		m, parsed := parse([]byte(line))
		if !parsed || m.text() != text || m.ID != id || m.Type != resBuildLogLine {
			t.Errorf("%s is %q of %d, want %+v", line, text, id, m)
		}
	}
	if _, _, ok := parseOutput([]byte(`@nix {"action":"result","fields":["plain, ünïcode"],"id":7,"type":101}` + "\n")); !ok {
		t.Error("the short way is never taken")
	}
}
