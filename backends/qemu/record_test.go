package qemu

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
)

func exampleRecord() *record {
	at := time.Date(2026, 11, 22, 4, 5, 6, 0, time.UTC)
	return &record{
		Version: recordVersion, UUID: "u", MAC: "52:54:00:aa:bb:cc", Image: "i", Backing: "/i/boot.qcow2", Port: 22022,
		Run:       &run{PID: 4242, Start: 17, BootID: "b", Started: at, Accel: host.TCG, Frozen: true},
		End:       &end{State: backends.Crashed, Reason: "why"},
		Snapshots: map[string]snapshotNote{"a": {Description: "d", Created: at, Frozen: true}},
	}
}

func TestRecordSurvivesWritingAndReading(t *testing.T) {
	f := vmFiles{dir: t.TempDir()}
	want := exampleRecord()
	if err := f.writeRecord(want); err != nil {
		t.Fatal(err)
	}
	got, err := f.readRecord()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if st, err := os.Stat(f.path(recordFile)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

func TestRecordsThatAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty":             "",
		"cut off":           `{"version": 1, "port":`,
		"a later version":   `{"version": 2}`,
		"no version":        `{}`,
		"a port":            `{"version": 1, "port": 70000}`,
		"process 1":         `{"version": 1, "run": {"pid": 1, "bootId": "x"}}`,
		"a negative number": `{"version": 1, "run": {"pid": -1, "bootId": "x"}}`,
		"no boot":           `{"version": 1, "run": {"pid": 77}}`,
		"a wild end":        `{"version": 1, "end": {"state": "running"}}`,
	} {
		if r, err := parseRecord([]byte(text)); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestStatusOnDisk(t *testing.T) {
	image := filepath.Join(t.TempDir(), "boot.qcow2")
	touch(t, image)
	stale := &run{PID: 4242, BootID: "an earlier boot", Started: time.Now()}
	tests := map[string]struct {
		record *record // nil = no file
		files  []string
		want   backends.State
		reason string
	}{
		"without a record":        {nil, []string{varFile}, backends.Broken, "vm.json is missing"},
		"without its disk":        {&record{Backing: image}, nil, backends.Broken, "the state disk is missing: "},
		"without its image":       {&record{Backing: image + "x"}, []string{varFile}, backends.Broken, "the image is missing: "},
		"mutable, image gone":     {&record{Mutable: true, Backing: image + "x"}, []string{diskFile}, backends.Stopped, ""},
		"never started":           {&record{Backing: image}, []string{varFile}, backends.Stopped, ""},
		"ended, watched":          {&record{Backing: image, End: &end{backends.Crashed, "r"}}, []string{varFile}, backends.Crashed, "r"},
		"ended in order, alone":   {&record{Backing: image, Run: stale}, []string{varFile}, backends.Stopped, "it ended while nixvmd was not running"},
		"the host went down":      {&record{Backing: image, Run: stale}, []string{varFile, pidFile}, backends.Crashed, "the host was restarted"},
		"QEMU was killed, unseen": {&record{Backing: image, Run: &run{PID: 1 << 30, BootID: host.BootID()}}, []string{varFile, pidFile}, backends.Crashed, "QEMU was killed"},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			f := vmFiles{dir: filepath.Join(t.TempDir(), "vm")}
			if got := statusOnDisk(f, "vm").State; got != backends.Absent {
				t.Errorf("before it exists: %s", got)
			}
			if err := os.Mkdir(f.dir, 0o700); err != nil {
				t.Fatal(err)
			}
			for _, name := range c.files {
				touch(t, f.path(name))
			}
			if c.record != nil {
				if err := f.writeRecord(c.record); err != nil {
					t.Fatal(err)
				}
			}
			got := statusOnDisk(f, "vm")
			if got.State != c.want || len(got.Reason) < len(c.reason) || got.Reason[:len(c.reason)] != c.reason {
				t.Errorf("%+v, want %s %q", got, c.want, c.reason)
			}
		})
	}
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// FuzzRecord reads what a damaged disk may hold. What is accepted can be
// written and read again.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"version": 1, "port": 22022, "run": {"pid": 7, "start": 1, "bootId": "b"}}`))
	f.Add([]byte(`{"version": 1, "snapshots": {"a": {"created": "2026-11-22T04:05:06Z"}}}`))
	f.Add([]byte(`{"version": 1, "snapshots": {}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecord(data)
		if err != nil {
			return
		}
		files := vmFiles{dir: t.TempDir()}
		if err := files.writeRecord(r); err != nil {
			t.Skip(err) // a time that JSON cannot hold
		}
		again, err := files.readRecord()
		if err != nil {
			t.Fatalf("%q is accepted once: %v", data, err)
		}
		if d := cmp.Diff(r, again, cmpopts.EquateEmpty()); d != "" {
			t.Error(d)
		}
		statusOnDisk(files, "x")
	})
}
