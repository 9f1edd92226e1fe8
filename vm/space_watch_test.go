package vm

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// looksOften is a service that looks at the space for disks all the time.
func looksOften(o *Options) { o.spaceTick = time.Millisecond }

// onFullHost is a machine whose host has no space left, and a way to wait for a state.
func onFullHost(t *testing.T, home string) house {
	t.Helper()
	h := open(t, home, images{}, nil, nil, looksOften)
	h.create(t, "demo")
	h.fake.SetSpace(0)
	if err := h.fake.Fill("demo"); err != nil {
		t.Fatal(err)
	}
	h.becomes(t, "demo", func(v VM) bool { return v.State == backends.Suspended && v.Reason == backends.HostFull })
	return h
}

// becomes waits until a machine is as fits says.
func (h house) becomes(t *testing.T, name string, fits func(VM) bool) {
	t.Helper()
	changed := make(chan struct{}, 1)
	defer h.Watch(func(Change) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})()
	end := time.After(time.Minute)
	for {
		v, err := h.Get(name)
		if err == nil && fits(v) {
			return
		}
		select {
		case <-changed:
		case <-end:
			t.Fatalf("%s is %+v, %v", name, v, err)
		}
	}
}

// runsIdle: no operation is left either, which the next one would be refused for.
func runsIdle(v VM) bool { return v.State == backends.Running && v.Operation == nil }

// count is how many notices have the text.
func (h house) count(text string) int {
	n := 0
	for _, notice := range h.Notices() {
		n += strings.Count(notice.Text, text)
	}
	return n
}

func TestAVMThatItsHostHasNoSpaceForResumesByItself(t *testing.T) {
	h := onFullHost(t, t.TempDir())
	if fix := h.doctorFull(); len(fix) != 1 || !strings.Contains(fix[0].Fix, "256M") || fix[0].Area != "machine demo" {
		t.Errorf("the doctor says %+v", fix)
	}
	for what, try := range map[string]func() error{
		"stop":    func() error { _, err := h.Stop(background, "demo", 0, "t"); return err },
		"reboot":  func() error { _, err := h.Reboot(background, "demo", "t"); return err },
		"suspend": func() error { _, err := h.Suspend(background, "demo", "t"); return err },
		"connect": func() error { return h.ensureRunning(background, "demo", "t") },
	} {
		if err := try(); !problem.HasCode(err, problem.DiskFull) || problem.From(err).Hint == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	h.fake.SetSpace(255 << 20) // a little is not enough
	if err := h.resumeFull("other"); err == nil {
		t.Error("a machine that does not exist is resumed")
	}
	if v, _ := h.Get("demo"); v.State != backends.Suspended {
		t.Errorf("it is %s", v.State)
	}
	h.fake.SetSpace(256 << 20)
	h.becomes(t, "demo", runsIdle)
	if v, _ := h.Get("demo"); v.Reason != "" || len(h.doctorFull()) != 0 {
		t.Errorf("%+v, and the doctor says %+v", v.Reason, h.doctorFull())
	}
	if p, r := h.count("demo is paused"), h.count("demo resumes"); p != 1 || r != 1 {
		t.Errorf("%d notices of the pause, %d of the end: %+v", p, r, h.Notices())
	}
	op, err := h.Stop(background, "demo", 0, "t")
	h.succeed(t, op, err)
}

// What a user has suspended stays so.
func TestOnlyAVMThatItsHostHasPausedResumesByItself(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil, looksOften)
	h.create(t, "demo")
	op, err := h.Suspend(background, "demo", "t")
	h.succeed(t, op, err)
	if err := h.resumeFull("demo"); !problem.HasCode(err, problem.VMNotRunning) {
		t.Errorf("%v", err)
	}
	// A resume that is recovered after the VM has been resumed by someone, and suspended.
	run := h.planResume("demo", resumeArgs{WhenFull: true}).Steps
	if len(run) != 1 {
		t.Fatalf("%d steps: nobody waits for sshd", len(run))
	}
	if err := run[0].Do(background, nil); err != nil {
		t.Error(err)
	}
	if v, _ := h.Get("demo"); v.State != backends.Suspended {
		t.Errorf("it is %s", v.State)
	}
}

func TestTheNextDaemonResumesAPausedVM(t *testing.T) {
	home := t.TempDir()
	h := onFullHost(t, home)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = open(t, home, images{}, nil, nil, looksOften) // its host has space
	h.becomes(t, "demo", runsIdle)
}

func TestKillAndDestroyEndAPausedVM(t *testing.T) {
	h := onFullHost(t, t.TempDir())
	op, err := h.Kill(background, "demo", "t")
	h.succeed(t, op, err)
	h.fake.SetSpace(1 << 40)
	if v, _ := h.Get("demo"); v.State != backends.Stopped || v.Reason != "" {
		t.Errorf("it is %s: %s", v.State, v.Reason)
	}
	op, err = h.Start(background, "demo", "t")
	h.succeed(t, op, err)
	if err := h.fake.Fill("demo"); err != nil {
		t.Fatal(err)
	}
	op, err = h.Destroy(background, "demo", "demo", "t")
	h.succeed(t, op, err)
}

// A VM that is paused again at once, although there seems to be space, is tried ever more
// rarely, and told of once.
func TestRepeatedPausesAreRetriedEverMoreRarely(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil, func(o *Options) { o.spaceTick = never })
	h.create(t, "demo")
	now := time.Now()
	w := &spaceWatch{s: h.Service, b: h.fake, paused: map[string]*pausedVM{}, now: func() time.Time { return now }}
	looks := func(after time.Duration, want bool) {
		t.Helper()
		now = now.Add(after)
		if w.look(background); want {
			h.becomes(t, "demo", runsIdle)
		}
		if v, _ := h.Get("demo"); (v.State == backends.Running) != want {
			t.Errorf("it is %s", v.State)
		}
	}
	for wait := time.Duration(0); wait < longestWait; wait = max(2*wait, spaceHere) {
		if err := h.fake.Fill("demo"); err != nil {
			t.Fatal(err)
		}
		h.taken(t, h.fake)
		if wait > 0 {
			looks(wait-time.Second, false)
			looks(time.Second, true)
		} else {
			looks(0, true)
		}
	}
	if p, r := h.count("demo is paused"), h.count("demo resumes"); p != 1 || r != 1 {
		t.Errorf("%d notices of a pause, %d of its end: %+v", p, r, h.Notices())
	}
	looks(settled+time.Second, true)
	if len(w.paused) != 0 {
		t.Errorf("it runs well, and is remembered: %+v", w.paused)
	}
}

func TestScarceSpaceIsToldOncePerCrossing(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil, func(o *Options) {
		o.spaceTick = never
		o.Config.Space.WarnBelow = "1G"
	})
	told := 0
	for i, step := range []struct {
		mib  int64
		tell bool
	}{
		{2000, false}, {1024, false}, {1023, true}, {500, false}, {0, false}, {1100, false}, {1023, false}, {1152, false}, {1000, true}, {4000, false},
	} {
		h.checkScarce(backends.Space{Storage: "s", Name: "/disks", Free: step.mib << 20})
		if step.tell {
			told++
		}
		if got := h.count("/disks, which holds the disks of VMs, is nearly full"); got != told {
			t.Errorf("step %d: at %d MiB there are %d warnings, want %d", i, step.mib, got, told)
		}
	}
}

// remoteStorage is a backend whose disks are not on this host.
type remoteStorage struct{ backends.Backend }

func (r remoteStorage) Unwrap() backends.Backend { return r.Backend }

func (remoteStorage) Offers(optional any) bool {
	_, files := optional.(*backends.FileHost)
	return !files
}

func TestTheDoctorKnowsTheSpaceOfOtherHosts(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.mu.Lock()
	local := h.backends
	h.backends = map[string]backends.Backend{"test": remoteStorage{h.fake}}
	h.mu.Unlock()
	defer func() { h.mu.Lock(); h.backends = local; h.mu.Unlock() }() // Close closes them
	if got := h.doctorStorages(context.Background()); len(got) != 0 {
		t.Errorf("there is space: %+v", got)
	}
	h.fake.SetSpace(1 << 30)
	got := h.doctorStorages(context.Background())
	if len(got) != 1 || got[0].Severity != backends.Warning || !strings.Contains(got[0].Message, "the disk of test") || got[0].Fix == "" {
		t.Errorf("%+v", got)
	}
}
