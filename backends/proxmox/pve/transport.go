package pve

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The most that is read of an answer, in bytes. The list of 500 VMs has about 200 KiB.
const (
	maxAnswer = 64 << 20
	maxError  = 64 << 10
)

// transport authenticates requests, and turns answers that are errors into an [Error]
// before a library can shorten them.
type transport struct {
	wire   *http.Transport
	token  string
	secret Secret

	mu   sync.Mutex
	skew time.Duration // the server's clock minus ours, as of its last answer
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	secret, err := t.secret.read(r.Context())
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", t.authorization(secret))
	answer, err := t.wire.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	t.noteClock(answer)
	if answer.StatusCode == http.StatusOK {
		answer.Body = limited{io.LimitReader(answer.Body, maxAnswer), answer.Body}
		return answer, nil
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, maxError)) // what there is of it
	return nil, readError(answer, body)
}

// authorization is the header with the token.
func (t *transport) authorization(secret string) string {
	return "PVEAPIToken=" + t.token + "=" + secret
}

// limited is a body of which only a part is read.
type limited struct {
	io.Reader
	io.Closer
}

// readError reads an answer that is no success.
func readError(answer *http.Response, body []byte) *Error {
	e := &Error{
		Status: answer.StatusCode,
		Reason: strings.TrimSpace(strings.TrimPrefix(answer.Status, fmt.Sprint(answer.StatusCode))),
	}
	var content struct {
		Message string         `json:"message"`
		Errors  map[string]any `json:"errors"`
	}
	if json.Unmarshal(body, &content) != nil {
		return e
	}
	e.Message = strings.TrimSpace(content.Message)
	for param, text := range content.Errors {
		if e.Params == nil {
			e.Params = map[string]string{}
		}
		e.Params[param] = strings.TrimSpace(fmt.Sprint(text))
	}
	return e
}

func (t *transport) noteClock(answer *http.Response) {
	at, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.skew = time.Until(at)
}

// now is the time of the server, to about a second.
func (t *transport) now() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Now().Add(t.skew)
}
