package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func percent(n int) *int { return &n }

func TestListShowsWhatEachMachineIsDoing(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	machines := []api.Machine{
		{Name: "booting", State: "running", Phase: "booting", Mode: "immutable", Profiles: []string{"claude", "dev"}, Image: api.ImageRef{Kind: "trial"}, Backend: "qemu", SSHHost: "booting", Started: now.Add(-3 * time.Second)},
		{Name: "busy", State: "running", Phase: "ready", Ready: true, Mode: "mutable", Backend: "qemu", Operation: "op1"},
		{Name: "ready", State: "running", Phase: "ready", Ready: true, Mode: "immutable", Backend: "qemu", SSHHost: "ready", Started: now.Add(-50 * time.Hour), Disk: &api.DiskUsage{UsedBytes: 5 << 29}},
		{Name: "torn", State: "broken", Phase: "broken"},
	}
	var out bytes.Buffer
	listText(&out, api.MachineListResult{Machines: machines, Operations: []api.Operation{{ID: "op1", Kind: "snapshot", Percent: percent(40)}}}, now)
	want := strings.TrimLeft(`
NAME     STATE         MODE       PROFILES    IMAGE  BACKEND  SSH      DISK     UPTIME
booting  booting       immutable  claude,dev  trial  qemu     booting  -        3.0s
busy     snapshot:40%  mutable    -           -      qemu     -        -        -
ready    running       immutable  -           -      qemu     ready    2.5 GiB  2d2h
torn     broken        -          -           -      -        -        -        -
`, "\n")
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestListSaysWhatNeedsSomebody(t *testing.T) {
	var out bytes.Buffer
	a := &app{err: &out}
	a.listProblems([]api.Machine{
		{Name: "off", State: "stopped", Phase: "stopped", Reason: "the guest powered off"},
		{Name: "down", State: "crashed", Phase: "crashed", Reason: "QEMU was killed"},
		{Name: "full", State: "suspended", Phase: "suspended", Reason: "a disk of the host is full"},
	})
	if want := "down is crashed: QEMU was killed\nfull is suspended: a disk of the host is full\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestStatusShowsTheProblemOfABrokenMachine(t *testing.T) {
	var out bytes.Buffer
	a := &app{}
	a.statusText(&out, statusAnswer{Machine: api.Machine{
		Name: "torn", State: "broken", Phase: "broken",
		Problem: &problem.Error{Code: "machine.invalid", Message: "memory:1: \"lots\" is not a number", Hint: "write MiB"},
	}}, time.Now())
	for _, want := range []string{"torn", "broken", "memory:1:", "hint: write MiB"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}

func TestStatusNamesWhatTheNextStartBrings(t *testing.T) {
	var out bytes.Buffer
	a := &app{}
	a.statusText(&out, statusAnswer{Machine: api.Machine{Name: "demo", State: "running", NextStart: []string{"tcpPorts", "hosts"}}}, time.Now())
	if text := out.String(); !strings.Contains(text, "takes over tcpPorts, hosts") {
		t.Errorf("settings that wait:\n%s", text)
	}
	out.Reset()
	a.statusText(&out, statusAnswer{Machine: api.Machine{Name: "demo", State: "running"}}, time.Now())
	if text := out.String(); strings.Contains(text, "Next start") {
		t.Errorf("none that wait:\n%s", text)
	}
}

func TestStatusCountsSnapshotsAndWarnsOfTooMany(t *testing.T) {
	var out bytes.Buffer
	a := &app{}
	few := statusAnswer{Machine: api.Machine{Name: "demo", State: "stopped"}, Snapshots: []api.Snapshot{{Name: "one"}, {Name: "two"}}}
	a.statusText(&out, few, time.Now())
	if text := out.String(); !strings.Contains(text, "Snapshots (2):") || strings.Contains(text, "Warning") {
		t.Errorf("two snapshots:\n%s", text)
	}
	few.SnapshotWarning = "demo has 214 snapshots"
	a.statusText(&out, few, time.Now())
	if text := out.String(); !strings.Contains(text, "\nWarning: demo has 214 snapshots\n") {
		t.Errorf("214 snapshots:\n%s", text)
	}
}

func TestGuestTextCannotMoveTheCursor(t *testing.T) {
	var out bytes.Buffer
	snapshotTable(&out, []api.Snapshot{{Name: "a\x1b[2Jb", Description: "one\ntwo\r\u202ethree"}})
	if strings.ContainsAny(out.String(), "\x1b\r\u202e") || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("a name or a description got through as it was: %q", out.String())
	}
}

func TestPipeGetsALineForEachStepAndNotForEachFigure(t *testing.T) {
	var out bytes.Buffer
	v := &lineView{w: &out, subject: "demo"}
	for _, message := range []string{"declaring the machine", "unpacking 1 / 40", "unpacking 2 / 40", "unpacking 40 / 40", "", "starting the VM"} {
		v.update(api.Operation{State: "running", Message: message})
	}
	v.log("not asked for")
	want := "demo: declaring the machine\ndemo: unpacking 1 / 40\ndemo: starting the VM\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestStepsAreTickedOffWithTheirTime(t *testing.T) {
	start := time.Now()
	var s steps
	if _, _, ended := s.next(api.Operation{Step: "image", Message: "preparing the image"}, start); ended {
		t.Error("the first step ended before it began")
	}
	if _, _, ended := s.next(api.Operation{Step: "image", Message: "unpacking"}, start); ended {
		t.Error("a message ended its step")
	}
	title, took, ended := s.next(api.Operation{Step: "start", Message: "starting"}, start.Add(3*time.Second))
	if !ended || title != "preparing the image" || took != 3*time.Second {
		t.Errorf("got %q %v %v", title, took, ended)
	}
}

func TestDurationsAreShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 300 * time.Millisecond: "0.3s", 12 * time.Second: "12s", 185 * time.Second: "3m05s",
		2*time.Hour + 10*time.Minute: "2h10m", 99 * time.Hour: "4d3h",
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestStatusShowsWhatTheDiskTakesAndWhatIsLeft(t *testing.T) {
	share := int64(1 << 30)
	disk := api.DiskUsage{VirtualBytes: 30 << 30, UsedBytes: 5 << 30, SnapshotBytes: &share}
	var out bytes.Buffer
	s := statusAnswer{Machine: api.Machine{Name: "demo", State: "running", Disk: &disk}, Disk: &api.DiskResult{
		Disk: disk, Storage: "/disks", FreeBytes: 1 << 30, Warning: "/disks is nearly full",
	}}
	(&app{}).statusText(&out, s, time.Now())
	for _, want := range []string{"5.0 GiB used of 30G, 1.0 GiB of that by snapshots", "1.0 GiB in /disks", "Warning: /disks is nearly full\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	out.Reset()
	disk.SnapshotBytes = nil
	(&app{}).statusText(&out, statusAnswer{Machine: api.Machine{Name: "demo", Disk: &disk}}, time.Now())
	if text := out.String(); !strings.Contains(text, "5.0 GiB used of 30G\n") || strings.Contains(text, "Free space") || strings.Contains(text, "Warning") {
		t.Errorf("in a pool:\n%s", text)
	}
}

func TestStatusShowsWhatAGuestHasOpen(t *testing.T) {
	var out bytes.Buffer
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	n := &api.NetworkResult{
		Out: api.NetworkUse{Now: 896, Limit: 896}, In: api.NetworkUse{Now: 1, Limit: 128}, UDP: api.NetworkUse{Limit: 256}, Refused: 5231,
		LastRefused: &api.Refusal{Protocol: "tcp", To: "10.1.2.3:22", At: now.Add(-5 * time.Second)},
	}
	(&app{}).statusText(&out, statusAnswer{Machine: api.Machine{Name: "demo", State: "running"}, Network: n}, now)
	for _, want := range []string{"896 of 896 out, 1 of 128 in, 0 of 256 UDP flows (limit reached", "5231 times, last tcp to 10.1.2.3:22 5.0s ago"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
