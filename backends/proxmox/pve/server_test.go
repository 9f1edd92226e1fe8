package pve_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nixvm/nixvm/backends/proxmox/pve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tokenID = "nixvmd@pve!t1"
	secret  = "00000000-0000-4000-8000-000000000000"
	upid    = "UPID:pve1:00002411:00029B81:6B01F391:qmcreate:100:nixvmd@pve!t1:"
)

// server answers as a test says, over HTTPS with a certificate of its own.
type server struct {
	*httptest.Server

	mu       sync.Mutex
	requests []string // method and path with query, as they came
	handle   map[string]http.HandlerFunc
}

func newServer(t *testing.T) *server {
	s := &server{handle: map[string]http.HandlerFunc{}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.Config.ErrorLog = quiet
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
	handle := s.handle[r.Method+" "+r.URL.Path]
	s.mu.Unlock()
	if handle == nil {
		reply(w, 501, "Method '"+r.Method+" "+r.URL.Path+"' is not answered by the test", `{"data":null}`)
		return
	}
	handle(w, r)
}

// on sets the answer to a request.
func (s *server) on(method, path string, handle http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handle[method+" /api2/json"+path] = handle
}

// asked counts the requests with a method and path.
func (s *server) asked(method, path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if r == method+" /api2/json"+path {
			n++
		}
	}
	return n
}

func (s *server) fingerprint() string { return pve.Fingerprint(s.Certificate()) }

// client trusts the server by its fingerprint.
func (s *server) client(t *testing.T) *pve.Client {
	return s.clientWith(t, func(*pve.Config) {})
}

func (s *server) clientWith(t *testing.T, change func(*pve.Config)) *pve.Client {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := pve.Config{
		URL: s.URL, TokenID: tokenID, Secret: pve.Secret{File: file}.Kept(),
		Trust: pve.Trust{Fingerprint: s.fingerprint()}, Patience: 10 * time.Second, Settle: 300 * time.Millisecond,
	}
	change(&config)
	c, err := pve.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// reply answers with a reason phrase, which net/http would choose itself.
func reply(w http.ResponseWriter, status int, reason, body string) {
	conn, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	fmt.Fprintf(buf, "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, reason, time.Now().UTC().Format(http.TimeFormat), len(body), body)
	_ = buf.Flush()
}

// drop ends the connection without an answer.
func drop(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	conn.Close()
}

// data answers with a success.
func data(value any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"data": value})
	}
}

// inTurn gives one answer after another, and the last one from then on.
func inTurn(handlers ...http.HandlerFunc) http.HandlerFunc {
	var mu sync.Mutex
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		h := handlers[min(n, len(handlers)-1)]
		n++
		mu.Unlock()
		h(w, r)
	}
}

func sum(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content)) }
