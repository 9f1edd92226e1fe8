package nix

// tail keeps the last lines that were added.
type tail struct {
	lines []string
	next  int // where the next one goes once it is full
}

// tailLines is how many lines of a builder's output a failure shows.
const tailLines = 20

func (t *tail) add(line string) {
	if len(t.lines) < tailLines {
		t.lines = append(t.lines, line)
		return
	}
	t.lines[t.next] = line
	t.next = (t.next + 1) % tailLines
}

// all returns them, oldest first.
func (t *tail) all() []string {
	return append(append([]string(nil), t.lines[t.next:]...), t.lines[:t.next]...)
}
