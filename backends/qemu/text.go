package qemu

import (
	"io"
	"os"
	"strings"
	"unicode"
)

// textLimit bounds text of other programs that goes into a message.
const textLimit = 400

// limited keeps the first 64 KiB that are written to it.
type limited struct{ strings.Builder }

func (l *limited) Write(p []byte) (int, error) {
	if rest := 64<<10 - l.Len(); rest > 0 {
		l.Builder.Write(p[:min(len(p), rest)])
	}
	return len(p), nil
}

// oneLine makes foreign text fit for a message: one line, no control
// characters, bounded.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	if len(s) > textLimit {
		s = strings.ToValidUTF8(s[:textLimit], "") + "..."
	}
	return strings.TrimSpace(s)
}

// lastWords returns the end of qemu.log, or otherwise when it is empty.
func lastWords(f vmFiles, otherwise string) string {
	file, err := os.Open(f.path(logFile))
	if err != nil {
		return otherwise
	}
	defer file.Close()
	if st, err := file.Stat(); err == nil && st.Size() > 2*textLimit {
		if _, err := file.Seek(-2*textLimit, io.SeekEnd); err != nil {
			return otherwise
		}
	}
	b, err := io.ReadAll(io.LimitReader(file, 2*textLimit))
	if err != nil {
		return otherwise
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if text := oneLine(lines[len(lines)-1]); text != "" {
		return text
	}
	return otherwise
}
