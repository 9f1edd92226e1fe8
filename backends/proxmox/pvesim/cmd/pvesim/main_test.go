package main

import (
	"bufio"
	"context"
	"io"
	"strings"
	"testing"
)

// It prints how to reach it, and ends with the context.
func TestItSaysHowToReachIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-listen", "127.0.0.1:0", "-nodes", "pve1,pve2"}, in) }()
	lines := bufio.NewScanner(out)
	for _, name := range []string{"url", "certificate", "fingerprint", "token", "root@pam"} {
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), name+" ") {
			t.Errorf("%q, want %s", lines.Text(), name)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestItRefusesReleasesThatItDoesNotKnow(t *testing.T) {
	if err := run(t.Context(), []string{"-version", "7.4"}, io.Discard); err == nil || !strings.Contains(err.Error(), "8.3 and later") {
		t.Error(err)
	}
}
