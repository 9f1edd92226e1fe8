package qemu

import (
	"bytes"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/internal/damaged"
)

// damages are what power cuts and bad disks make of a file; nil = it is gone.
func damages(whole []byte) map[string][]byte {
	return map[string][]byte{
		"empty":     {},
		"truncated": whole[:len(whole)/2],
		"zeros":     make([]byte, len(whole)),
		"half zero": append(bytes.Clone(whole[:len(whole)/2]), make([]byte, len(whole)/2)...),
		"garbage":   []byte("\x7fELF\x02\x01\x01 not a record"),
		"a list":    []byte("[]\n"),
		"gone":      nil,
	}
}

func (f vmFiles) damage(t *testing.T, text []byte) {
	t.Helper()
	must(t, os.Remove(f.path(recordFile)))
	if text != nil {
		must(t, os.WriteFile(f.path(recordFile), text, 0o600))
	}
}

// said returns the text of the first repair that a Backend tells of.
func said(t *testing.T, b *Backend) string {
	t.Helper()
	for {
		select {
		case e := <-b.Events():
			if e.Kind == backends.Repaired {
				return e.Text
			}
		case <-limit(t).Done():
			t.Fatal("the repair is not reported")
		}
	}
}

func TestDamagedRecordOfAVMThatIsOffIsMadeAgain(t *testing.T) {
	s := newStage(t)
	b := s.open(t)
	must(t, b.Create(limit(t), s.spec("vm"), nil))
	_, err := b.CreateSnapshot(limit(t), backends.Named("vm"), backends.SnapshotRequest{Name: "kept", Description: "before"})
	must(t, err)
	must(t, b.Close())
	f := filesOf(s.layout, "vm")
	whole, err := os.ReadFile(f.path(recordFile))
	must(t, err)
	for name, text := range damages(whole) {
		t.Run(name, func(t *testing.T) {
			before := len(damaged.Find(f.dir))
			f.damage(t, text)
			b := s.open(t)
			if got := status(t, b, "vm"); got.State != backends.Stopped {
				t.Fatalf("%+v", got)
			}
			list, err := b.Snapshots(limit(t), backends.Named("vm"))
			if err != nil || len(list) != 1 || list[0].Name != "kept" {
				t.Errorf("its snapshots: %+v, %v", list, err)
			}
			kept, err := b.Kept(limit(t), backends.Named("vm"))
			if err != nil || kept.ImageDisk != s.image.Disk || kept.Mutable || kept.DiskBytes != s.spec("vm").DiskBytes {
				t.Errorf("%+v, %v", kept, err)
			}
			aside := damaged.Find(f.dir)[before:]
			told := said(t, b)
			if text == nil {
				if len(aside) != 0 || !strings.Contains(told, "was missing") {
					t.Errorf("%q, %q", told, aside)
				}
				return
			}
			if len(aside) != 1 || !strings.Contains(told, aside[0]) || !strings.Contains(told, "descriptions of its snapshots are lost") {
				t.Fatalf("%q, %q", told, aside)
			}
			if got, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(got, text) {
				t.Errorf("what was set aside is %q, %v", got, err)
			}
		})
	}
	b = s.open(t)
	must(t, b.Start(limit(t), s.spec("vm")))
	must(t, b.Kill(limit(t), backends.Named("vm")))
}

// TestDamagedRecordOfARunningVM: the VM goes on, is reached where it was, and
// can be ended.
func TestDamagedRecordOfARunningVM(t *testing.T) {
	s := newStage(t)
	reopen := func() *Backend {
		quick := usualLimits
		quick.sync = 50 * time.Millisecond // this guest has no agent to thaw it
		b, err := open(Config{Layout: s.layout, Accel: host.TCG}, quick)
		must(t, err)
		t.Cleanup(func() { b.Close() })
		return b
	}
	b := reopen()
	must(t, b.Create(limit(t), s.spec("vm"), nil))
	must(t, b.Start(limit(t), s.spec("vm")))
	at, err := b.Endpoint(limit(t), backends.Named("vm"))
	must(t, err)
	pid := status(t, b, "vm").PID
	f := filesOf(s.layout, "vm")
	whole, err := os.ReadFile(f.path(recordFile))
	must(t, err)
	all := damages(whole)
	for i, name := range slices.Sorted(maps.Keys(all)) {
		if i%2 == 0 { // between two daemons, and under one
			must(t, b.Close())
		}
		f.damage(t, all[name])
		if i%2 == 0 {
			b = reopen()
		}
		if got := status(t, b, "vm"); got.State != backends.Running || got.PID != pid {
			t.Fatalf("%s: %+v", name, got)
		}
		if again, err := b.Endpoint(limit(t), backends.Named("vm")); err != nil || again != at {
			t.Errorf("%s: it is at %v, not %v: %v", name, again, at, err)
		}
		was, err := parseRecord(whole)
		must(t, err)
		is, err := f.readRecord()
		must(t, err)
		if is.UUID != was.UUID || is.MAC != was.MAC || is.Run.Start != was.Run.Start || is.Run.Accel != was.Run.Accel || is.Run.Sockets != was.Run.Sockets ||
			*is.Run.Network != *was.Run.Network || *is.Run.Log != *was.Run.Log || is.Backing != was.Backing {
			t.Errorf("%s: %+v, %+v; it was %+v, %+v", name, is, is.Run, was, was.Run)
		}
	}
	must(t, b.Kill(limit(t), backends.Named("vm")))
	if got := status(t, b, "vm").State; got != backends.Stopped {
		t.Errorf("afterwards it is %s", got)
	}
}

func TestRecordOfANewerNixvmdIsLeftAlone(t *testing.T) {
	s := newStage(t)
	b := s.open(t)
	must(t, b.Create(limit(t), s.spec("vm"), nil))
	must(t, b.Close())
	f := filesOf(s.layout, "vm")
	// The second one has a field of another type.
	for _, text := range []string{`{"version": 2}`, `{"snapshots": ["kept"], "version": 2}`} {
		f.damage(t, []byte(text))
		b = s.open(t)
		if got := status(t, b, "vm"); got.State != backends.Broken || !strings.Contains(got.Reason, "newer nixvmd") {
			t.Errorf("%+v", got)
		}
		if err := b.Start(limit(t), s.spec("vm")); err == nil {
			t.Error("it starts")
		}
		if got, err := os.ReadFile(f.path(recordFile)); err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
		must(t, b.Close())
	}
}

// TestNoHintLeadsToTheLossOfADisk: with the state disk in place nothing says to
// destroy the VM.
func TestNoHintLeadsToTheLossOfADisk(t *testing.T) {
	f := vmFiles{dir: t.TempDir()}
	touch(t, f.path(varFile))
	missing := f.complete(&record{Backing: f.path("image")})
	for _, err := range []error{missing, errNewer, os.ErrPermission} {
		if hint := f.mend(err); strings.Contains(hint, "destroy") {
			t.Errorf("%v: %s", err, hint)
		}
	}
	must(t, os.Remove(f.path(varFile)))
	if hint := f.mend(f.complete(&record{})); !strings.Contains(hint, "restore the file") {
		t.Error(hint)
	}
}
