package qemu

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/backends/internal/qemuimg"
)

// fakeQEMU answers on the sockets of one VM as QEMU and its guest's agent do,
// for what a real guest cannot be made to do: an agent that dies at the worst
// moment, a disk that refuses a snapshot. A sleeping process stands for QEMU's.
type fakeQEMU struct {
	t    *testing.T
	s    stage
	b    *Backend
	proc *exec.Cmd

	mu      sync.Mutex
	calls   []string
	refuse  map[string]string // command -> text of its error
	silent  map[string]int    // command -> how often it gets no answer
	monitor net.Conn
	images  []qemuimg.Snapshot
}

// newFake makes a VM, puts a fake process on record and opens a Backend, which
// adopts it.
func newFake(t *testing.T, change ...func(*record, *fakeQEMU)) *fakeQEMU {
	t.Helper()
	f := &fakeQEMU{t: t, s: newStage(t), refuse: map[string]string{}, silent: map[string]int{}}
	b := f.s.open(t)
	must(t, b.Create(limit(t), f.s.spec("vm"), nil))
	must(t, b.Close())
	f.proc = exec.Command("sleep", "1000")
	must(t, f.proc.Start())
	t.Cleanup(func() { _ = f.proc.Process.Kill(); _ = f.proc.Wait() })
	f.record(change)
	files := filesOf(f.s.layout, "vm")
	must(t, os.MkdirAll(files.runtime, 0o700))
	for socket, handler := range map[string]func(net.Conn){
		qmpSocket: f.serveMonitor, agentSocket: f.serveAgent, consoleSocket: func(net.Conn) {},
	} {
		f.listen(filepath.Join(files.runtime, socket), handler)
	}
	var err error
	f.b, err = open(Config{Layout: f.s.layout, Accel: host.TCG}, limits{
		sync: time.Second, freeze: time.Second, thaw: 5 * time.Second, taken: time.Second, reply: testLimit, lost: 100 * time.Millisecond,
		monitor: testLimit, take: testLimit, adopt: testLimit, first: testLimit, quit: testLimit,
	})
	must(t, err)
	t.Cleanup(func() { f.b.Close() })
	return f
}

func (f *fakeQEMU) record(change []func(*record, *fakeQEMU)) {
	f.t.Helper()
	files := filesOf(f.s.layout, "vm")
	r, err := files.readRecord()
	must(f.t, err)
	start, err := startTime(f.proc.Process.Pid)
	must(f.t, err)
	r.Run = &run{PID: f.proc.Process.Pid, Start: start, BootID: host.BootID(), Started: time.Now().UTC(), Accel: host.TCG}
	for _, c := range change {
		c(r, f)
	}
	must(f.t, files.writeRecord(r))
	touch(f.t, files.path(pidFile))
}

// listen serves connections one after another, as QEMU's character devices do.
func (f *fakeQEMU) listen(path string, serve func(net.Conn)) {
	l, err := net.Listen("unix", path)
	must(f.t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			serve(conn)
			if !strings.HasSuffix(path, consoleSocket) {
				conn.Close()
			}
		}
	})
	f.t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}

type fakeCall struct {
	Execute   string           `json:"execute"`
	Arguments map[string]any   `json:"arguments"`
	ID        *json.RawMessage `json:"id"`
}

func (f *fakeQEMU) serveMonitor(conn net.Conn) {
	f.mu.Lock()
	f.monitor = conn
	f.mu.Unlock()
	fmt.Fprintln(conn, `{"QMP": {"version": {}, "capabilities": []}}`)
	f.serve(conn, func(c fakeCall) string {
		switch c.Execute {
		case "query-status":
			return `{"status": "running"}`
		case "query-chardev":
			return `[{"label": "agent", "frontend-open": true}]`
		case "stop", "cont":
			fmt.Fprintf(conn, `{"event": %q}`+"\n", map[string]string{"stop": "STOP", "cont": "RESUME"}[c.Execute])
		case "blockdev-snapshot-internal-sync":
			f.images = append(f.images, qemuimg.Snapshot{ID: "1", Name: fmt.Sprint(c.Arguments["name"]), DateSec: time.Now().Unix()})
		case "query-named-block-nodes":
			b, _ := json.Marshal([]blockNode{{Name: stateNode, Image: qemuimg.Info{Snapshots: f.images}}})
			return string(b)
		case "quit":
			fmt.Fprintln(conn, `{"event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}`)
			_ = f.proc.Process.Kill()
		}
		return "{}"
	})
}

func (f *fakeQEMU) serveAgent(conn net.Conn) {
	f.serve(conn, func(c fakeCall) string {
		switch c.Execute {
		case "guest-sync-delimited":
			return fmt.Sprintf("%.0f", c.Arguments["id"])
		case "guest-exec":
			return `{"pid": 7}`
		case "guest-exec-status":
			return `{"exited": true, "exitcode": 0}`
		case "guest-fsfreeze-freeze", "guest-fsfreeze-thaw":
			return "1"
		case "guest-get-time": // an hour behind
			return strconv.FormatInt(time.Now().Add(-time.Hour).UnixNano(), 10)
		}
		return "{}"
	})
}

// serve answers requests until the connection ends, with the refusals and silences that
// the test wants.
func (f *fakeQEMU) serve(conn net.Conn, value func(fakeCall) string) {
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		var c fakeCall
		if err := json.Unmarshal(bytes.TrimLeftFunc(lines.Bytes(), func(r rune) bool { return r == utf8.RuneError }), &c); err != nil {
			f.t.Errorf("request %q: %v", lines.Text(), err)
			return
		}
		f.answer(conn, c, value)
	}
}

func (f *fakeQEMU) answer(conn net.Conn, c fakeCall, value func(fakeCall) string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, c.Execute)
	if f.silent[c.Execute] > 0 {
		f.silent[c.Execute]--
		return
	}
	id, prefix := "", ""
	if c.ID != nil {
		id = `, "id": ` + string(*c.ID)
	}
	if c.Execute == "guest-sync-delimited" {
		prefix = "\xff"
	}
	if text, ok := f.refuse[c.Execute]; ok {
		fmt.Fprintf(conn, `{"error": {"class": "GenericError", "desc": %q}%s}`+"\n", text, id)
		return
	}
	fmt.Fprintf(conn, "%s{\"return\": %s%s}\n", prefix, value(c), id)
}

// said returns which of the words were called, in order.
func (f *fakeQEMU) said(words ...string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var got []string
	for _, c := range f.calls {
		for _, w := range words {
			if strings.HasSuffix(c, w) {
				got = append(got, w)
			}
		}
	}
	return strings.Join(got, " ")
}

// thawed checks that nothing on record says frozen.
func (f *fakeQEMU) thawed() {
	f.t.Helper()
	r, err := filesOf(f.s.layout, "vm").readRecord()
	must(f.t, err)
	if r.Run != nil && r.Run.Frozen {
		f.t.Error("still on record as frozen")
	}
}

func (f *fakeQEMU) snapshot(req backends.SnapshotRequest) (backends.Snapshot, error) {
	return f.b.CreateSnapshot(limit(f.t), backends.Named("vm"), req)
}
