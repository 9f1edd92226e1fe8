package rpc

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/rpc/frame"
)

// socketPair returns the daemon's and the client's end of a connection.
func socketPair(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		if ends[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
		t.Cleanup(func() { ends[i].Close() })
	}
	return ends[0], ends[1]
}

func TestAShortMessageGoesOutWithoutTheWriter(t *testing.T) {
	ours, theirs := socketPair(t)
	o := newOutbox(ours) // which is not running
	o.put([]byte(`{"id":`), []byte(`1}`))
	_ = theirs.SetReadDeadline(time.Now().Add(time.Minute))
	body, err := frame.Read(bufio.NewReader(theirs), frame.MaxMessage)
	if err != nil || string(body) != `{"id":1}` {
		t.Errorf("%q, %v", body, err)
	}
	if len(o.queue) != 0 || o.bytes != 0 {
		t.Error("the message waits for the writer as well")
	}
}

func TestWhatTheSocketDoesNotTakeAtOnceComesLaterInOrder(t *testing.T) {
	ours, theirs := socketPair(t)
	o := newOutbox(ours)
	const n = 500
	message := func(i int) string { return fmt.Sprintf(`{"id":%d,"is":"%s"}`, i, strings.Repeat("x", 997*(i%17))) }
	for i := range n / 2 {
		o.put([]byte(message(i))) // more than a socket holds, and it is not read
	}
	if len(o.queue) == 0 {
		t.Fatal("the socket takes everything: nothing is tested")
	}
	ended := make(chan error, 1)
	go func() { ended <- o.run(time.Minute) }()
	go func() {
		for i := n / 2; i < n; i++ {
			o.put([]byte(message(i)))
		}
	}()
	_ = theirs.SetReadDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(theirs)
	for i := range n {
		body, err := frame.Read(r, frame.MaxMessage)
		if err != nil || string(body) != message(i) {
			t.Fatalf("message %d: %d bytes, %v", i, len(body), err)
		}
	}
	o.finish(time.Minute)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
