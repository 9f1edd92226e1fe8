package main

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"
)

// sshd is a server that the proxy is connected with.
func sshd(t *testing.T) (proxySide, serverSide *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		accepted.Close()
	})
	return conn.(*net.TCPConn), accepted.(*net.TCPConn)
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	return r, w
}

func TestProxyPassesTheEndOfTheInputOnAndLosesNoAnswer(t *testing.T) {
	conn, server := sshd(t)
	in, toProxy := pipe(t)
	fromProxy, out := pipe(t)
	done := make(chan error, 1)
	go func() { done <- splice(conn, in, out) }()
	question := strings.Repeat("question ", 10_000)
	go func() {
		_, _ = io.WriteString(toProxy, question)
		toProxy.Close()
	}()
	got, err := io.ReadAll(server) // ends only if the end was passed on
	if err != nil || string(got) != question {
		t.Fatalf("the server got %d bytes, want %d (%v)", len(got), len(question), err)
	}
	answer := strings.Repeat("answer ", 10_000)
	go func() {
		_, _ = io.WriteString(server, answer)
		server.Close()
	}()
	back := make([]byte, len(answer))
	if n, err := io.ReadFull(fromProxy, back); err != nil || string(back) != answer {
		t.Errorf("the client got %d bytes, want %d (%v)", n, len(answer), err)
	}
	if err := <-done; err != nil {
		t.Errorf("splice: %v", err)
	}
}

func TestProxyEndsWithSSHEvenIfTheGuestHangs(t *testing.T) {
	conn, _ := sshd(t) // says nothing and never closes
	in, toProxy := pipe(t)
	fromProxy, out := pipe(t)
	done := make(chan error, 1)
	go func() { done <- splice(conn, in, out) }()
	toProxy.Close() // ssh is gone: both of its ends are
	fromProxy.Close()
	if err := <-done; err != nil {
		t.Errorf("splice: %v", err)
	}
}
