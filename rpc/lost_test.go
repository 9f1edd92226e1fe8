package rpc_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/rpc"
	"github.com/nixvm/nixvm/rpc/client"
)

func TestADaemonThatNobodyFindsAnyMoreEnds(t *testing.T) {
	for name, remove := range map[string]func(t *testing.T, home string){
		"its home is deleted":      func(t *testing.T, home string) { removeAll(t, home) },
		"its runtime is deleted":   func(t *testing.T, home string) { removeAll(t, filepath.Join(home, "runtime")) },
		"its state is deleted":     func(t *testing.T, home string) { removeAll(t, filepath.Join(home, "state")) },
		"its runtime is put aside": func(t *testing.T, home string) { rename(t, filepath.Join(home, "runtime")) },
		"its socket is put aside":  func(t *testing.T, home string) { rename(t, filepath.Join(home, "runtime", "nixvmd.sock")) },
	} {
		t.Run(name, func(t *testing.T) {
			layout := shortLayout(t)
			var log bytes.Buffer
			srv := rpc.NewServer(newCore("demo"), rpc.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
			l := listen(t, layout)
			ended := make(chan error, 1)
			go func() { ended <- srv.Serve(context.Background(), l) }()
			c, notes := connect(t, layout, "test")
			answer := make(chan error, 1)
			go func() { answer <- c.Call(t.Context(), api.MethodVMStart, api.VMParams{Name: "demo"}, nil) }()
			await(t, notes, api.MethodDidChange, func(p api.DidChangeParams) bool { return len(p.Operations) > 0 })
			remove(t, filepath.Dir(layout.Runtime))
			// The client that is connected is told why, and let go.
			if p := wantCode(t, <-answer, rpc.ProblemStopping); !strings.Contains(p.Message, "has been removed") {
				t.Errorf("what waits is answered with %q", p.Message)
			}
			await(t, notes, api.MethodServerStatus, func(p api.ServerStatusParams) bool { return strings.Contains(p.Message, "has been removed") })
			<-c.Done()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if !strings.Contains(log.String(), "VMs keep running") {
				t.Errorf("the log says %q", &log)
			}
			if err := l.Release(); err != nil {
				t.Error(err)
			}
			listen(t, layout) // the next daemon
		})
	}
}

func TestADaemonThatIsAskedToEndHasLostNothing(t *testing.T) {
	for range 20 { // the event of its own socket's end comes at the same time
		var log bytes.Buffer
		srv := rpc.NewServer(newCore("demo"), rpc.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		l := listen(t, shortLayout(t))
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- srv.Serve(ctx, l) }()
		if conn, err := net.Dial("unix", l.Addr().String()); err != nil {
			t.Error(err)
		} else {
			conn.Close()
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if strings.Contains(log.String(), "removed") {
			t.Fatalf("the log says %q", &log)
		}
	}
}

func removeAll(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}

func rename(t *testing.T, path string) {
	t.Helper()
	if err := os.Rename(path, path+".aside"); err != nil {
		t.Error(err)
	}
}

func TestADaemonStartsOnAFullDisk(t *testing.T) {
	layout := shortLayout(t)
	// Nothing can be written to a file that is a device which is always full.
	if err := os.MkdirAll(layout.State, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", filepath.Join(layout.State, "nixvmd.lock")); err != nil {
		t.Fatal(err)
	}
	listen(t, layout)
}

func TestTheSocketOfTheNextDaemonStays(t *testing.T) {
	layout := shortLayout(t)
	old := listen(t, layout)
	removeAll(t, filepath.Dir(layout.Runtime))
	listen(t, layout)
	if err := old.Release(); err != nil {
		t.Error(err)
	}
	conn, err := net.Dial("unix", layout.Socket())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestSessionsWithAnotherRuntimeDirectoryShareTheDaemon(t *testing.T) {
	layout := serve(t, newCore("demo"))
	other := layout
	other.Runtime = shortDir(t)
	_, err := rpc.Listen(other)
	wantCode(t, err, "daemon.running")
	c, err := client.Dial(context.Background(), other, client.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	call[api.MachineResult](t, c, api.MethodMachineGet, api.MachineParams{Name: "demo"})
}
