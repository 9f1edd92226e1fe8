package pvesim

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Server is a running simulator. Its methods may be called at any time, by
// several goroutines.
type Server struct {
	// URL is the address without a path, such as https://127.0.0.1:45123.
	URL string
	// CertificatePEM is its self-signed certificate, also in the file CAFile.
	CertificatePEM []byte
	// CAFile is a file with CertificatePEM.
	CAFile string
	// Fingerprint is the SHA-256 of the certificate, in capitals with colons, as
	// Proxmox VE shows it.
	Fingerprint string
	// RootPassword is that of root@pam.
	RootPassword string

	config   Config
	schema   *schema
	router   *router
	listener net.Listener

	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu        sync.Mutex
	conns     map[net.Conn]bool
	access    *access
	tasks     *tasks
	storages  []*storage
	vms       map[int]*machine
	locks     map[string]chan struct{}
	firewalls map[string]*firewall
	consoles  map[string]consoleTicket
	formats   map[string]string // of files, by path
	down      map[string]bool
	faults    []*Fault
	requests  []Request
	pools     map[string]*pool
	ha        map[int]string
	stale     []map[string]any
}

// Start runs a simulator for the rest of the test.
func Start(t testing.TB, config Config) *Server {
	t.Helper()
	if config.Dir == "" {
		config.Dir = t.TempDir()
	}
	s, err := New(config)
	if err != nil {
		t.Fatalf("start the Proxmox VE simulator: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// New runs a simulator until Close.
func New(config Config) (*Server, error) {
	config, err := config.complete()
	if err != nil {
		return nil, err
	}
	s := &Server{
		config: config, RootPassword: "pvesim-root",
		conns: map[net.Conn]bool{}, vms: map[int]*machine{}, locks: map[string]chan struct{}{},
		firewalls: map[string]*firewall{}, consoles: map[string]consoleTicket{}, formats: map[string]string{}, down: map[string]bool{}, pools: map[string]*pool{}, ha: map[int]string{},
		tasks: newTasks(),
	}
	if s.schema, err = loadSchema(); err != nil {
		return nil, err
	}
	s.adaptSchema()
	s.router = newRouter(s.schema)
	s.access = newAccess(config)
	for _, storage := range config.Storages {
		s.storages = append(s.storages, newStorage(storage))
	}
	certificate, err := newCertificate()
	if err != nil {
		return nil, err
	}
	s.CertificatePEM, s.Fingerprint = certificate.pem, certificate.fingerprint
	s.CAFile = filepath.Join(config.Dir, "pve-ssl.pem")
	if err := os.WriteFile(s.CAFile, s.CertificatePEM, 0o600); err != nil {
		return nil, fmt.Errorf("write the simulator's certificate: %w", err)
	}
	s.listener, err = tls.Listen("tcp", config.Listen, &tls.Config{Certificates: []tls.Certificate{certificate.tls}, MinVersion: tls.VersionTLS12})
	if err != nil {
		return nil, fmt.Errorf("listen for the simulator: %w", err)
	}
	s.URL = "https://" + s.listener.Addr().String()
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.wg.Go(s.accept)
	return s, nil
}

// Token is the first token of the configuration in the form of the header
// Authorization, without the word PVEAPIToken: id=secret; empty without one.
func (s *Server) Token() string {
	if len(s.config.Tokens) == 0 {
		return ""
	}
	return s.config.Tokens[0].ID + "=" + s.config.Tokens[0].Secret
}

// Nodes are the names of its nodes.
func (s *Server) Nodes() []string { return s.config.Nodes }

// Close ends all connections, tasks and guests, and waits for them.
func (s *Server) Close() {
	s.stop()
	s.listener.Close()
	s.mu.Lock()
	for conn := range s.conns {
		conn.Close()
	}
	for _, vm := range s.vms {
		vm.powerOff()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		s.mu.Lock()
		if s.ctx.Err() != nil {
			s.mu.Unlock()
			conn.Close()
			return
		}
		s.conns[conn] = true
		s.wg.Go(func() { s.serveConn(conn) })
		s.mu.Unlock()
	}
}

// pause waits for the given time of a real server, scaled, without the mutex.
func (s *Server) pause(d time.Duration) {
	d = time.Duration(float64(d) * s.config.Delay)
	if d <= 0 {
		return
	}
	s.mu.Unlock()
	defer s.mu.Lock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
	}
}

func fingerprint(sum []byte) string {
	var text []byte
	for i, b := range sum {
		if i > 0 {
			text = append(text, ':')
		}
		text = append(text, []byte(fmt.Sprintf("%02X", b))...)
	}
	return string(text)
}

func randomHex(n int) string { return hex.EncodeToString(randomBytes(n)) }
