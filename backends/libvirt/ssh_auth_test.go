package libvirt

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// As one does that asks its user to confirm, when nobody is there.
func TestAnAgentThatDoesNotAnswerIsGivenUp(t *testing.T) {
	dir, err := os.MkdirTemp("", "nva") // a short path: it becomes a socket's
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	silent, err := net.Listen("unix", filepath.Join(dir, "agent"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan *keyring, 1)
	go func() { done <- openKeyring(ctx, sshSettings{agent: silent.Addr().String()}) }()
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cancel()
	select {
	case k := <-done:
		k.close()
		if len(k.signers) != 0 {
			t.Errorf("it has %d keys", len(k.signers))
		}
	case <-time.After(time.Minute):
		t.Fatal("whoever connects waits for the agent for good")
	}
}
