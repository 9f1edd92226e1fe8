// Package consoletest is for tests that have both ends of a serial console.
package consoletest

import (
	"io"
	"testing"
)

// Read reads as many bytes as want has, which must be those.
func Read(t testing.TB, r io.Reader, want string) {
	t.Helper()
	buf := make([]byte, len(want))
	if _, err := io.ReadFull(r, buf); err != nil || string(buf) != want {
		t.Fatalf("read %q, %v; want %q", buf, err, want)
	}
}

// Say writes a text.
func Say(t testing.TB, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}
