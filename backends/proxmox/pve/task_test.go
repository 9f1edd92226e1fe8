package pve_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends/proxmox/pve"
)

func ended(exit string) http.HandlerFunc {
	return data(map[string]any{"status": "stopped", "exitstatus": exit})
}

var (
	running = data(map[string]any{"status": "running"})
	noTask  = func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 400, "Parameter verification failed.", `{"errors":{"upid":"no such task"},"data":null}`)
	}
)

// on task sets the answers about the task of the tests.
func (s *server) task(status http.HandlerFunc, log ...string) {
	var lines []map[string]any
	for i, l := range log {
		lines = append(lines, map[string]any{"n": i + 1, "t": l})
	}
	s.on("GET", "/nodes/pve1/tasks/"+upid+"/status", status)
	s.on("GET", "/nodes/pve1/tasks/"+upid+"/log", data(lines))
}

func TestATaskIsWaitedFor(t *testing.T) {
	for name, status := range map[string]http.HandlerFunc{
		"that runs a while":                inTurn(running, running, ended("OK")),
		"with warnings":                    ended("WARNINGS: 1"),
		"whose file is not there at first": inTurn(noTask, ended("OK")),
		"although an answer is lost":       inTurn(drop, ended("OK")),
	} {
		s := newServer(t)
		s.task(status, "one", "TASK OK")
		var log []string
		if err := s.client(t).Wait(t.Context(), upid, func(l string) { log = append(log, l) }); err != nil {
			t.Errorf("a task %s: %v", name, err)
		}
		if !slices.Equal(log, []string{"one", "TASK OK"}) {
			t.Errorf("the log of a task %s: %q", name, log)
		}
	}
}

func TestATaskThatFailedSaysWhyWithItsLastLines(t *testing.T) {
	s := newServer(t)
	s.task(ended("can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"), "trying to acquire lock...", "TASK ERROR: can't lock")
	err := s.client(t).Wait(t.Context(), upid, nil)
	var failed *pve.TaskError
	if !errors.As(err, &failed) || len(failed.Log) != 2 || !pve.LockTimeout(err) || !strings.Contains(err.Error(), "qmcreate") {
		t.Errorf("%v: %+v", err, failed)
	}
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.task(func(w http.ResponseWriter, r *http.Request) { cancel(); running(w, r) })
	if err := s.client(t).Wait(ctx, upid, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v", err)
	}
	if err := s.client(t).Wait(t.Context(), "UPID:x", nil); err == nil {
		t.Error("what is no UPID is waited for")
	}
}

func begin() pve.Start {
	return pve.Start{Method: "POST", Path: "/nodes/pve1/qemu", Params: pve.Params{"vmid": "100"}, Node: "pve1", Type: "qmcreate", ID: "100"}
}

func TestATaskWhoseAnswerIsLostIsFound(t *testing.T) {
	s := newServer(t)
	now := time.Now().Unix()
	entry := func(id, user string, at int64) map[string]any {
		return map[string]any{"upid": id, "type": "qmcreate", "id": "100", "starttime": at, "user": user}
	}
	another := strings.Replace(upid, "t1:", "t2:", 1)
	earlier := strings.Replace(upid, "00002411", "00002410", 1)
	s.on("POST", "/nodes/pve1/qemu", drop)
	s.on("GET", "/nodes/pve1/tasks", inTurn(data([]any{}), data([]any{entry(another, "nixvmd@pve", now), entry(earlier, "nixvmd@pve", now-3600), entry(upid, "nixvmd@pve", now)})))
	c := s.client(t)
	got, err := c.Begin(t.Context(), begin())
	if err != nil || got != upid {
		t.Errorf("Begin = %s, %v", got, err)
	}
	if n := s.asked("POST", "/nodes/pve1/qemu"); n != 1 {
		t.Errorf("the request was sent %d times", n)
	}
	// The task has been taken: it is not that of the next request.
	if got, err := c.Begin(t.Context(), begin()); !pve.Lost(err) {
		t.Errorf("a second Begin = %s, %v", got, err)
	}
}

func TestATaskIsNotedBeforeItIsWaitedFor(t *testing.T) {
	s := newServer(t)
	s.on("POST", "/nodes/pve1/qemu", data(upid))
	s.task(ended("OK"))
	var noted pve.UPID
	ctx := pve.WithNotes(t.Context(), func(u pve.UPID) {
		if noted = u; s.asked("GET", "/nodes/pve1/tasks/"+upid+"/status") > 0 {
			t.Error("the task is noted when it has been asked for already")
		}
	})
	if err := s.client(t).Run(ctx, begin(), nil); err != nil || noted != upid {
		t.Errorf("Run = %v, noted %q", err, noted)
	}
}

func TestTheTaskOfACancelledRequestIsKnown(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.on("POST", "/nodes/pve1/qemu", func(w http.ResponseWriter, r *http.Request) { cancel(); data(upid)(w, r) })
	c := s.client(t)
	if got, err := c.Begin(ctx, begin()); got != upid || err != nil {
		t.Errorf("Begin = %q, %v", got, err)
	}
	if _, err := c.Begin(ctx, begin()); !errors.Is(err, context.Canceled) || s.asked("POST", "/nodes/pve1/qemu") != 1 {
		t.Errorf("a request whose context has ended is sent: %v", err)
	}
}

func FuzzUPID(f *testing.F) {
	f.Add(upid)
	f.Add("UPID:a:::::::")
	f.Fuzz(func(t *testing.T, text string) {
		u := pve.UPID(text)
		if u.Valid() != (u.Node() != "" && u.Type() != "") {
			t.Errorf("%q is valid: %v, node %q, type %q", text, u.Valid(), u.Node(), u.Type())
		}
		if strings.ContainsAny(u.Node(), "/ :") {
			t.Errorf("node %q", u.Node())
		}
	})
}
