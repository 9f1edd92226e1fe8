package pve_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends/proxmox/pve"
)

// The answers are those of a real Proxmox VE 9.2.
func TestErrorsKeepWhatTheServerSays(t *testing.T) {
	denied := func(err error) bool { _, yes := pve.Denied(err); return yes }
	for name, c := range map[string]struct {
		status       int
		reason, body string
		is           func(error) bool
		text         string
	}{
		"a bad token": {401, "Authentication failed!", "", pve.Unauthenticated, "Authentication failed!"},
		"no privilege": {
			403, "Permission check failed (/vms/200, VM.Snapshot)",
			`{"data":null,"message":"Permission check failed (/vms/200, VM.Snapshot)\n"}`, denied, "/vms/200, VM.Snapshot",
		},
		"a VM that does not exist": {
			500, "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist",
			`{"data":null,"message":"Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist\n"}`, pve.NoVM, "999.conf",
		},
		"a number in use": {
			400, "Parameter verification failed.",
			`{"errors":{"vmid":"VM 101 already exists"},"message":"Parameter verification failed.\n","data":null}`, pve.IDTaken, "vmid: VM 101 already exists",
		},
		"a number in use, of a create": {500, "unable to create VM 100 - VM 100 already exists on node 'pve1'", `{"data":null}`, pve.IDTaken, "already exists"},
		"a number in use, of a clone":  {500, "unable to create VM 101: config file already exists", `{"data":null}`, pve.IDTaken, "already exists"},
		"an agent that is away":        {500, "QEMU guest agent is not running", `{"data":null,"message":"QEMU guest agent is not running\n"}`, pve.AgentAway, "agent"},
		"a VM that does not run":       {500, "VM 100 is not running", `{"data":null}`, pve.NotRunning, "VM 100"},
		"a lock": {
			500, "VM is locked (snapshot)", `{"data":null,"message":"VM is locked (snapshot)\n"}`,
			func(err error) bool { return pve.LockedBy(err) == "snapshot" }, "locked",
		},
		"an unknown task":        {400, "Parameter verification failed.", `{"errors":{"upid":"no such task"},"message":"Parameter verification failed.\n","data":null}`, pve.NoTask, "no such task"},
		"a worker that is gone":  {596, "Broken pipe", "", pve.Lost, "Broken pipe"},
		"text that is no object": {500, "no method", "can't parse", func(err error) bool { return !pve.Lost(err) }, "no method"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.on("POST", "/x", func(w http.ResponseWriter, _ *http.Request) { reply(w, c.status, c.reason, c.body) })
			err := s.client(t).Post(t.Context(), "/x", nil, nil)
			if err == nil || !c.is(err) {
				t.Fatalf("%v is not what it is", err)
			}
			if !strings.Contains(err.Error(), c.text) || !strings.HasPrefix(err.Error(), "POST /x: ") {
				t.Errorf("the error %q lacks %q, or the request", err, c.text)
			}
		})
	}
}

func TestTheMissingPrivilegeIsInTheWordsOfTheServer(t *testing.T) {
	s := newServer(t)
	s.on("GET", "/x", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 403, "Permission check failed (/, Sys.Audit|Sys.Modify)", `{"data":null}`)
	})
	what, denied := pve.Denied(s.client(t).Get(t.Context(), "/x", nil, nil))
	if !denied || what != "/, Sys.Audit|Sys.Modify" {
		t.Errorf("denied %v: %q", denied, what)
	}
}

func TestReadsAreRepeatedAndChangesAreNot(t *testing.T) {
	s := newServer(t)
	c := s.client(t)
	s.on("GET", "/x", inTurn(drop, data("there")))
	var got string
	if err := c.Get(t.Context(), "/x", nil, &got); err != nil || got != "there" {
		t.Errorf("a read whose first answer is lost: %q, %v", got, err)
	}
	s.on("POST", "/x", drop)
	s.on("PUT", "/x", drop)
	s.on("DELETE", "/x", drop)
	for method, err := range map[string]error{
		"POST": c.Post(t.Context(), "/x", nil, nil), "PUT": c.Put(t.Context(), "/x", nil, nil), "DELETE": c.Delete(t.Context(), "/x", nil, nil),
	} {
		if n := s.asked(method, "/x"); !pve.Lost(err) || n != 1 {
			t.Errorf("a %s without an answer = %v, sent %d times", method, err, n)
		}
	}
}
