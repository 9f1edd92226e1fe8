package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
)

// Token identifies a stream of progress: a string or an integer. The zero Token
// means that none was given.
type Token struct {
	raw string // compact JSON
}

// maxToken bounds what a client can make the server remember, in bytes.
const maxToken = 256

// StringToken returns a token made of s.
func StringToken(s string) Token {
	b, _ := json.Marshal(s) // a string always marshals
	return Token{raw: string(b)}
}

// IsZero reports whether no token was given; encoding/json asks it for omitzero.
func (t Token) IsZero() bool { return t.raw == "" }

// String returns the token as JSON.
func (t Token) String() string { return t.raw }

// MarshalJSON implements json.Marshaler.
func (t Token) MarshalJSON() ([]byte, error) {
	if t.raw == "" {
		return []byte("null"), nil
	}
	return []byte(t.raw), nil
}

// UnmarshalJSON implements json.Unmarshaler. null is the zero Token.
func (t *Token) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	if bytes.Equal(data, []byte("null")) {
		*t = Token{}
		return nil
	}
	if len(data) > maxToken {
		return errors.New("a progress token is at most 256 bytes long")
	}
	var s string
	if err := json.Unmarshal(data, &s); err == nil {
		// Marshalled anew, so that two spellings of one string are one token.
		*t = StringToken(s)
		return nil
	}
	if _, err := strconv.ParseInt(string(data), 10, 64); err != nil {
		return errors.New("a progress token is a string or an integer")
	}
	t.raw = string(data)
	return nil
}
