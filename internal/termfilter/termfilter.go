// Package termfilter passes the output of a guest's program to a terminal, without the
// sequences that could affect the user of the terminal.
//
// Colours, the cursor, erasing, scrolling, character sets and the alternate screen
// pass: a login, top and an editor look as they should. What does not:
//
//   - strings (OSC, DCS, APC, PM, SOS, and the title of screen and tmux): titles,
//     clipboard, hyperlinks, notifications, downloads, graphics, key definitions;
//   - queries (DA, DSR, DECRQM, XTVERSION, ENQ, window reports...): the terminal
//     answers them on its keyboard's side, so that text chosen by the guest could be typed
//     into the program that reads there next;
//   - what changes the window, the keyboard, the mouse or the printer.
//
// It is a list of what passes: a sequence that is not known does not. Both forms of
// each control are understood, ESC and one byte, and the 8-bit one, raw or as
// UTF-8. What comes out is valid UTF-8. Sequences may be split over any number of writes.
//
// References: ECMA-48; Williams' parser of DEC terminals
// (https://vt100.net/emu/dec_ansi_parser); ctlseqs of xterm.
package termfilter

import (
	"io"
	"unicode/utf8"
)

const (
	// maxSequence is the longest control sequence that passes, in bytes.
	maxSequence = 256
	// maxString is after how many characters an unterminated string is taken for
	// the output of a program that never meant one.
	maxString = 64 << 10
)

// C0 and C1 controls.
const (
	bell, backspace, tab, newline, vtab, formFeed, carriage = 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d
	shiftOut, shiftIn, cancel, substitute, escape           = 0x0e, 0x0f, 0x18, 0x1a, 0x1b
	delete, firstC1, lastC1                                 = 0x7f, 0x80, 0x9f
	stringEnd                                               = 0x9c // ST
)

type state int

const (
	ground        state = iota
	escaped             // after ESC
	control             // in a control sequence, CSI
	inString            // in a string that does not pass
	stringEscaped       // after ESC in a string
)

// Filter is one stream on its way to a terminal. The zero value is ready.
type Filter struct {
	state    state
	partial  []byte // the beginning of a character that is not whole yet
	sequence []byte // of an escape or control sequence, without what introduces it
	tooLong  bool   // the sequence does not fit
	count    int    // characters of the string
	bell     bool   // a bell ends the string
}

// Append adds what passes of p to dst. What is not whole yet waits for the next call.
func (f *Filter) Append(dst, p []byte) []byte {
	for len(p) > 0 {
		if len(f.partial) == 0 && p[0] < utf8.RuneSelf {
			dst = f.rune(dst, rune(p[0]))
			p = p[1:]
			continue
		}
		f.partial = append(f.partial, p[0])
		p = p[1:]
		for len(f.partial) > 0 && utf8.FullRune(f.partial) {
			r, size := utf8.DecodeRune(f.partial)
			if r == utf8.RuneError && size == 1 && f.partial[0] >= firstC1 && f.partial[0] <= lastC1 {
				r = rune(f.partial[0]) // a control in its 8-bit form
			}
			f.partial = append(f.partial[:0], f.partial[size:]...)
			dst = f.rune(dst, r)
		}
	}
	return dst
}

func (f *Filter) rune(dst []byte, r rune) []byte {
	switch r {
	case escape:
		if f.state == inString {
			f.state = stringEscaped
			return dst
		}
		f.begin(escaped)
		return dst
	case cancel, substitute:
		f.state = ground
		return dst
	}
	if r >= firstC1 && r <= lastC1 {
		return f.c1(dst, r)
	}
	switch f.state {
	case escaped:
		return f.escaped(dst, r)
	case control:
		return f.control(dst, r)
	case inString:
		f.count++
		if r == bell && f.bell || f.count > maxString {
			f.state = ground
		}
		return dst
	case stringEscaped:
		f.begin(escaped)
		return f.escaped(dst, r) // ESC \ ends the string, and does nothing else
	case ground:
	}
	if r < ' ' && !passing(r) || r == delete {
		return dst
	}
	return utf8.AppendRune(dst, r)
}

// passing are the controls that move the cursor, ring, or choose a character set.
func passing(r rune) bool {
	switch r {
	case bell, backspace, tab, newline, vtab, formFeed, carriage, shiftOut, shiftIn:
		return true
	}
	return false
}

func (f *Filter) begin(s state) {
	f.state, f.sequence, f.tooLong = s, f.sequence[:0], false
}

// c1 is a control of the upper half: what ESC and the character 0x40 below it is.
func (f *Filter) c1(dst []byte, r rune) []byte {
	if r == stringEnd {
		f.state = ground
		return dst
	}
	f.begin(escaped)
	return f.escaped(dst, r-0x40)
}

// escaped is after ESC.
func (f *Filter) escaped(dst []byte, r rune) []byte {
	switch {
	case r < ' ': // a terminal obeys it at once; nothing is lost without
		return dst
	case r < '0': // an intermediate character
		f.add(r)
		return dst
	case len(f.sequence) > 0:
		f.state = ground
		if !f.tooLong && len(f.sequence) == 1 && r <= '~' && designation(f.sequence[0], r) {
			return append(dst, escape, f.sequence[0], byte(r))
		}
		return dst
	}
	switch r {
	case '[':
		f.begin(control)
		return dst
	case ']', 'k': // OSC; the title of screen and tmux
		f.state, f.count, f.bell = inString, 0, true
		return dst
	case 'P', 'X', '^', '_': // DCS, SOS, PM, APC
		f.state, f.count, f.bell = inString, 0, false
		return dst
	}
	f.state = ground
	if simple(r) {
		return append(dst, escape, byte(r))
	}
	return dst
}

func (f *Filter) add(r rune) {
	if len(f.sequence) >= maxSequence {
		f.tooLong = true
		return
	}
	f.sequence = append(f.sequence, byte(r))
}

// control is in a control sequence.
func (f *Filter) control(dst []byte, r rune) []byte {
	switch {
	case r < ' ' || r == delete:
		return dst
	case r < '@':
		f.add(r)
		return dst
	}
	f.state = ground
	if r > '~' || f.tooLong || !allowed(f.sequence, byte(r)) {
		return dst
	}
	dst = append(dst, escape, '[')
	dst = append(dst, f.sequence...)
	return append(dst, byte(r))
}

// NewReader returns what passes of r.
func NewReader(r io.Reader) io.Reader { return &reader{from: r} }

type reader struct {
	from   io.Reader
	filter Filter
	in     [32 << 10]byte
	out    []byte
	ready  []byte // the part of out that has not been read
	err    error
}

func (r *reader) Read(p []byte) (int, error) {
	for len(r.ready) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		var n int
		n, r.err = r.from.Read(r.in[:])
		r.out = r.filter.Append(r.out[:0], r.in[:n])
		r.ready = r.out
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}
