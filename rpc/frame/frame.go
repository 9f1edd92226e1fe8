// Package frame reads and writes the base protocol of LSP: a header block with
// Content-Length, an empty line, and that many bytes of JSON.
//
// Reading is bounded in both parts and allocates only what has arrived, so that
// a peer cannot make the process grow by claiming a length. Writing puts
// Content-Length first and nothing else: Emacs looks for it within the first
// 100 characters.
package frame

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// MaxHeader is the longest header block that is read, in bytes. LSP's own are
// below 100.
const MaxHeader = 4096

// MaxMessage is the longest body that the daemon reads, in bytes. The longest
// honest request is a create with some keys.
const MaxMessage = 8 << 20

// Error says that the peer does not speak the protocol. The stream cannot be
// used any further: the start of the next message is unknown.
type Error struct{ Reason string }

func (e *Error) Error() string { return e.Reason }

func malformed(format string, args ...any) error { return &Error{Reason: fmt.Sprintf(format, args...)} }

// Read returns the body of the next message. It returns io.EOF at the end of
// the stream between messages, *Error when the framing is wrong or the body is
// longer than limit, and io.ErrUnexpectedEOF when the stream ends within one.
func Read(r *bufio.Reader, limit int) ([]byte, error) {
	n, err := ReadLength(r, limit)
	if err != nil {
		return nil, err
	}
	return ReadBody(r, n)
}

// ReadLength reads the header block of the next message and returns how long the
// body is, for those who make sure of room for it before ReadBody. Errors: those of Read.
func ReadLength(r *bufio.Reader, limit int) (int, error) {
	n, err := readHeader(r)
	if err == nil && n > limit {
		err = malformed("a message of %d bytes is longer than the limit of %d", n, limit)
	}
	return n, err
}

func readHeader(r *bufio.Reader) (length int, err error) {
	length, left := -1, MaxHeader
	for {
		line, err := r.ReadSlice('\n')
		left -= len(line)
		if err != nil {
			return 0, headerError(err, left == MaxHeader)
		}
		if left < 0 {
			return 0, malformed("the header is longer than %d bytes", MaxHeader)
		}
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if len(line) == 0 {
			break
		}
		if length, err = headerField(string(line), length); err != nil {
			return 0, err
		}
	}
	if length < 0 {
		return 0, malformed("the header has no Content-Length")
	}
	return length, nil
}

func headerError(err error, nothingRead bool) error {
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return malformed("a header line is too long")
	case errors.Is(err, io.EOF) && !nothingRead:
		return io.ErrUnexpectedEOF
	}
	return err
}

// headerField returns the length that the line gives, or the one known so far.
func headerField(line string, length int) (int, error) {
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		return 0, malformed("the header line %.40q has no colon", line)
	}
	if !strings.EqualFold(strings.TrimSpace(name), "Content-Length") {
		return length, nil
	}
	if length >= 0 {
		return 0, malformed("Content-Length appears twice")
	}
	n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31)
	if err != nil {
		return 0, malformed("Content-Length %.40q is not a number of bytes", value)
	}
	return int(n), nil
}

// eager is what is allocated on the peer's word alone, in bytes.
const eager = 64 << 10

// ReadBody reads a body of n bytes, as ReadLength has returned it. It allocates at
// most twice what has arrived, or 64 KiB.
func ReadBody(r *bufio.Reader, n int) ([]byte, error) {
	body := make([]byte, min(n, eager))
	for at := 0; ; {
		_, err := io.ReadFull(r, body[at:])
		at = len(body)
		if err != nil || at == n {
			return body, unexpected(err)
		}
		more := make([]byte, min(n, 2*at))
		copy(more, body)
		body = more
	}
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Append adds a whole message to dst.
func Append(dst, body []byte) []byte {
	return append(AppendHeader(dst, len(body)), body...)
}

// AppendHeader adds the header block for a body of n bytes to dst.
func AppendHeader(dst []byte, n int) []byte {
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(n), 10)
	return append(dst, "\r\n\r\n"...)
}
