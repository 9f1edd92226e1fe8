package qemu

import (
	"io"
	"os"
	"strings"

	"github.com/nixvm/nixvm/backends"
)

// lastWords returns the end of a log, or otherwise when it is empty.
func lastWords(f vmFiles, log, otherwise string) string {
	file, err := os.Open(f.path(log))
	if err != nil {
		return otherwise
	}
	defer file.Close()
	if st, err := file.Stat(); err == nil && st.Size() > 2*backends.TextLimit {
		if _, err := file.Seek(-2*backends.TextLimit, io.SeekEnd); err != nil {
			return otherwise
		}
	}
	b, err := io.ReadAll(io.LimitReader(file, 2*backends.TextLimit))
	if err != nil {
		return otherwise
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if text := backends.OneLine(lines[len(lines)-1]); text != "" {
		return text
	}
	return otherwise
}
