package vm

import (
	"context"
	"io"
	"strings"
	"sync"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/plaintext"
)

const (
	// tailBytes is how much of a console is kept, tailLines how many lines of it are shown.
	tailBytes = 16 << 10
	tailLines = 15
	tailWidth = 200 // bytes of a line
)

// tail keeps the last output of a guest's console while it is followed.
type tail struct {
	line io.Closer     // nil: there is no console
	done chan struct{} // closed when nothing more is read

	mu   sync.Mutex
	kept []byte
}

// followConsole reads the console of a running VM until end is called. A backend
// without consoles, or a console that is in use, gives no lines.
func (s *Service) followConsole(ctx context.Context, name string) *tail {
	t := &tail{done: make(chan struct{})}
	b, err := s.backendOf(name)
	if err == nil {
		if host, ok := backends.As[backends.Console](b); ok {
			var line io.ReadWriteCloser
			if line, err = host.Console(ctx, s.ref(name)); err == nil && s.background(func() { t.read(line) }) {
				t.line = line
				return t
			}
			if err == nil {
				_ = line.Close()
			}
		}
	}
	if err != nil {
		s.log.Info("the console of a guest is not followed", "machine", name, "error", err)
	}
	close(t.done)
	return t
}

func (t *tail) read(line io.Reader) {
	defer close(t.done)
	buf := make([]byte, 4<<10)
	for {
		n, err := line.Read(buf)
		t.mu.Lock()
		t.kept = append(t.kept, buf[:n]...)
		if over := len(t.kept) - tailBytes; over > 0 {
			t.kept = append(t.kept[:0], t.kept[over:]...)
		}
		t.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// end stops following, and returns the last lines, fit to be shown.
func (t *tail) end() string {
	if t.line != nil {
		_ = t.line.Close()
	}
	<-t.done
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []string
	for line := range strings.Lines(strings.ToValidUTF8(string(t.kept), "")) {
		if line = strings.TrimSpace(plaintext.Line(strings.TrimRight(line, "\r\n"), tailWidth)); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
