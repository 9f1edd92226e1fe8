package frame

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestRead(t *testing.T) {
	long := strings.Repeat("x", 100<<10)
	for _, tc := range []struct {
		name, in string
		bodies   []string
		err      string // "EOF", "unexpected EOF", or a part of the reason
	}{
		{"nothing", "", nil, "EOF"},
		{"one", "Content-Length: 2\r\n\r\n{}", []string{"{}"}, "EOF"},
		{"two", "Content-Length: 2\r\n\r\n{}Content-Length: 1\r\n\r\n1", []string{"{}", "1"}, "EOF"},
		{"an empty body", "Content-Length: 0\r\n\r\n", []string{""}, "EOF"},
		{"more headers", "content-type: x; charset=utf-8\r\nCONTENT-LENGTH:2\r\n\r\n{}", []string{"{}"}, "EOF"},
		{"line feeds alone", "Content-Length: 2\n\n{}", []string{"{}"}, "EOF"},
		{"more than is allocated at once", "Content-Length: 102400\r\n\r\n" + long, []string{long}, "EOF"},
		{"cut in the header", "Content-Le", nil, "unexpected EOF"},
		{"cut after a line", "Content-Length: 2\r\n", nil, "unexpected EOF"},
		{"cut in the body", "Content-Length: 2\r\n\r\n{", nil, "unexpected EOF"},
		{"cut in a long body", "Content-Length: 102400\r\n\r\n" + long[1:], nil, "unexpected EOF"},
		{"no length", "\r\n", nil, "no Content-Length"},
		{"no colon", "hello\r\n\r\n", nil, "no colon"},
		{"no number", "Content-Length: 0x10\r\n\r\n", nil, "not a number"},
		{"a plus", "Content-Length: +1\r\n\r\n1", nil, "not a number"},
		{"too large for anything", "Content-Length: 99999999999999999999\r\n\r\n", nil, "not a number"},
		{"over the limit", "Content-Length: 200001\r\n\r\n", nil, "longer than the limit"},
		{"given twice", "Content-Length: 1\r\nContent-Length: 1\r\n\r\n1", nil, "twice"},
		{"a long line", "X: " + strings.Repeat("x", MaxHeader) + "\r\n", nil, "too long"},
		{"many lines", strings.Repeat("X: y\r\n", MaxHeader/6+1) + "\r\n", nil, "longer than 4096"},
	} {
		// One byte at a time, as a socket may have it.
		for _, in := range []io.Reader{strings.NewReader(tc.in), iotest.OneByteReader(strings.NewReader(tc.in))} {
			r := bufio.NewReader(in)
			for _, want := range tc.bodies {
				if body, err := Read(r, 200_000); err != nil || string(body) != want {
					t.Errorf("%s: %d bytes, %v", tc.name, len(body), err)
				}
			}
			_, err := Read(r, 200_000)
			var malformed *Error
			if errors.As(err, &malformed) != !strings.Contains(tc.err, "EOF") || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: %v", tc.name, err)
			}
		}
	}
}

// A claimed length costs nothing.
func TestReadAllocatesWhatArrives(t *testing.T) {
	in := []byte("Content-Length: 8000000\r\n\r\n{")
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = Read(bufio.NewReader(bytes.NewReader(in)), MaxMessage)
		}
	}).AllocedBytesPerOp()
	if allocated > 4*eager {
		t.Errorf("%d bytes", allocated)
	}
}

// FuzzRead: for any input, reading ends without a panic, within the limit, and
// what was read survives writing and reading again.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"Content-Length: 2\r\n\r\n{}", "Content-Length: 5\r\n\r\n{", "a: b\r\n\r\n", "\n", "Content-Length: 1\nContent-Length: 1\n\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 1 << 10
		r := bufio.NewReader(bytes.NewReader(in))
		for {
			body, err := Read(r, limit)
			var malformed *Error
			switch {
			case err == nil:
			case err == io.EOF || err == io.ErrUnexpectedEOF || errors.As(err, &malformed):
				return
			default:
				t.Fatalf("another error: %v", err)
			}
			if len(body) > limit {
				t.Fatalf("%d bytes, the limit is %d", len(body), limit)
			}
			again, err := Read(bufio.NewReader(bytes.NewReader(Append(nil, body))), limit)
			if err != nil || !bytes.Equal(again, body) {
				t.Fatalf("%q came back as %q, %v", body, again, err)
			}
		}
	})
}
