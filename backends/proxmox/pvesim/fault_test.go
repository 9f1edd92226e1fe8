package pvesim

import "testing"

func TestFaultsHappenToWhatMatches(t *testing.T) {
	c := start(t, Config{})
	c.http.Transport.(interface{ CloseIdleConnections() }).CloseIdleConnections()
	c.sim.Inject(Fault{Kind: Busy, Path: "/nodes/*/storage", Skip: 1, Times: 1})
	c.ok(nil, "GET", "/nodes/pve1/storage")
	c.ok(nil, "GET", "/version")
	if a := c.fails(596, "Broken pipe", "GET", "/nodes/pve1/storage"); len(a.body) != 0 {
		t.Errorf("%s", a.body)
	}
	c.ok(nil, "GET", "/nodes/pve1/storage")

	// A POST is not repeated by net/http, so that the connection's end shows.
	c.sim.ResetRequests()
	c.sim.Inject(Fault{Kind: DropBefore, Method: "POST", Times: 1})
	if a, err := c.try("POST", "/access/ticket", "", nil); err == nil {
		t.Errorf("answered %d", a.status)
	}
	c.sim.Heal()
	c.ok(nil, "GET", "/version")
	if got := c.sim.Requests(); len(got) != 2 || got[0] != (Request{"POST", "/access/ticket"}) || got[1].Path != "/version" {
		t.Errorf("%v", got)
	}
}

func TestATaskIsUnknownAtFirst(t *testing.T) {
	c := start(t, Config{})
	c.sim.Inject(Fault{Kind: TaskUnseen, Method: "POST"})
	a, err := c.upload("local", field{name: "content", value: "iso"}, field{name: "filename", value: "x", file: "a.iso"})
	if err != nil {
		t.Fatal(err)
	}
	upid := string(a.Data[1 : len(a.Data)-1])
	a = c.fails(400, "Parameter verification failed.", "GET", "/nodes/pve1/tasks/"+upid+"/status")
	if a.Errors["upid"] != "no such task" {
		t.Errorf("%v", a.Errors)
	}
	if exit := c.wait(upid); exit != "OK" {
		t.Error(exit)
	}
}

func TestTasksFailAndWarn(t *testing.T) {
	c := start(t, Config{})
	iso := []field{{name: "content", value: "iso"}, {name: "filename", value: "x", file: "a.iso"}}
	for kind, want := range map[FaultKind]string{TaskFails: "no luck today", TaskWarns: "WARNINGS: 1"} {
		c.sim.Inject(Fault{Kind: kind, Path: "/nodes/pve1/storage/local/upload", Times: 1, Text: "no luck\ntoday"})
		a, err := c.upload("local", iso...)
		if err != nil {
			t.Fatal(err)
		}
		upid := string(a.Data[1 : len(a.Data)-1])
		if exit := c.wait(upid); exit != want {
			t.Errorf("%s: %q", kind, exit)
		}
		lines := c.log(upid)
		if last := lines[len(lines)-1]; last != map[FaultKind]string{TaskFails: "TASK ERROR: no luck today", TaskWarns: "TASK WARNINGS: 1"}[kind] {
			t.Errorf("%s: %q", kind, last)
		}
	}
}

func TestATaskCanBeHeld(t *testing.T) {
	c := start(t, Config{})
	release := c.sim.HoldTasks("imgcopy")
	a, err := c.upload("local", field{name: "content", value: "iso"}, field{name: "filename", value: "x", file: "a.iso"})
	if err != nil {
		t.Fatal(err)
	}
	upid := string(a.Data[1 : len(a.Data)-1])
	var status struct{ Status, ExitStatus string }
	if c.ok(&status, "GET", "/nodes/pve1/tasks/"+upid+"/status"); status.Status != "running" || status.ExitStatus != "" {
		t.Errorf("%+v", status)
	}
	release()
	if exit := c.wait(upid); exit != "OK" {
		t.Error(exit)
	}
}
