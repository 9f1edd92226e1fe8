package termfilter

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// simple reports whether ESC and this one character pass: save and restore the
// cursor, lines up and down, tabulators, keypad, character sets, reset. Not DECID
// (Z), which is a query.
func simple(r rune) bool { return strings.ContainsRune("78DEMHNO=>cno|}~", r) }

// designation reports whether ESC, an intermediate and a final character pass:
// character sets, double lines and the alignment pattern. Not "%", which takes the
// terminal out of UTF-8, nor " ", which makes it answer with 8-bit controls.
func designation(intermediate byte, final rune) bool {
	return strings.IndexByte("()*+-./", intermediate) >= 0 || intermediate == '#' && strings.ContainsRune("34568", final)
}

// plain are the control sequences without private and intermediate characters: the
// cursor, insert and delete, erase, scroll, tabulators, colours, margins, repetition.
const plain = "ABCDEFGHIJKLMPSTXZ@`abdefgmrsu"

// modes that may be set and reset: insert and newline, ECMA-48.
var modes = []int{4, 20}

// privateModes are those of DEC and xterm: cursor keys, reverse screen, origin,
// wrapping, the cursor, the alternate screen, bracketed paste. Not the window's
// width, the mouse, the focus, or keys.
var privateModes = []int{1, 5, 6, 7, 12, 25, 47, 1047, 1048, 1049, 2004}

// maxRepeat is how often REP may repeat a character: a long line of a wide screen.
const maxRepeat = 1000

// allowed reports whether a control sequence passes, given what stands between CSI
// and the final character.
func allowed(between []byte, final byte) bool {
	digits := bytes.TrimLeft(between, "<=>?")
	private := string(between[:len(between)-len(digits)])
	parameters := bytes.TrimRight(digits, " !\"#$%&'()*+,-./")
	intermediates := string(digits[len(parameters):])
	if bytes.ContainsAny(parameters, "<=>? !\"#$%&'()*+,-./") {
		return false
	}
	switch {
	case intermediates == " " && private == "":
		return final == 'q' // the shape of the cursor
	case intermediates == "!" && private == "":
		return final == 'p' // soft reset
	case intermediates != "":
		return false
	case private == "?":
		return final == 'J' || final == 'K' || (final == 'h' || final == 'l') && all(parameters, privateModes)
	case private != "":
		return false
	case final == 'h' || final == 'l':
		return all(parameters, modes)
	case final == 'T': // with more it tracks the mouse
		return bytes.IndexByte(parameters, ';') < 0
	case final == 'b':
		n, err := strconv.Atoi(string(parameters))
		return len(parameters) == 0 || err == nil && n <= maxRepeat
	}
	return strings.IndexByte(plain, final) >= 0
}

// all reports whether each parameter is one of a list.
func all(parameters []byte, list []int) bool {
	for p := range bytes.SplitSeq(parameters, []byte(";")) {
		n, err := strconv.Atoi(string(p))
		if err != nil || !slices.Contains(list, n) {
			return false
		}
	}
	return true
}
