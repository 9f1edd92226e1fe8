package inventory

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/nixvm/nixvm/internal/damaged"
	"github.com/nixvm/nixvm/machine"
)

// What a daemon needs to reach a guest is in its record while the machine directory
// does not parse, or is gone.
func TestARecordKnowsTheGuest(t *testing.T) {
	home := t.TempDir()
	s := newStage(t, home)
	if _, err := s.options.Machines.Create(t.Context(), machine.Draft{
		Name: "demo", Image: machine.ImageTrial, MemoryMiB: 512, VCPUs: 1, DiskBytes: 8 << 30, Network: machine.Network{Kind: "nat"},
		RemoteForwards: []machine.RemoteForward{{Listen: "8080", Target: "localhost:80"}},
	}); err != nil {
		t.Fatal(err)
	}
	// As version 1 wrote it.
	old := []byte(`{"machine": "demo", "backend": "staged", "image": {"kind": "trial"}, "generation": 1, "created": "2026-01-02T03:04:05Z"}`)
	if err := os.WriteFile(s.layout.Record("demo"), old, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Reload("demo")
	e, _ := s.Get("demo")
	want, ok := e.Guest()
	if !ok || want.HostKey == "" || len(want.RemoteForwards()) != 1 || e.Record.Guest == nil || !e.Record.Guest.equal(want) {
		t.Fatalf("%+v, %+v", want, e.Record)
	}
	s.close()
	dir := filepath.Join(s.layout.Machines(), "demo")
	for _, what := range []string{"a file does not parse", "the directory is gone"} {
		err := os.WriteFile(filepath.Join(dir, "memory"), []byte("much\n"), 0o600)
		if what == "the directory is gone" {
			err = os.RemoveAll(dir)
		}
		if err != nil {
			t.Fatal(err)
		}
		s = newStage(t, home)
		e, _ := s.Get("demo")
		if got, ok := e.Guest(); !ok || !got.equal(want) || e.Machine != nil {
			t.Errorf("%s: %+v, %v, %+v", what, got, ok, e.Machine)
		}
		s.close()
	}
}

// A record of a later version is not damaged: it is refused, and left as it is.
func TestARecordOfALaterVersionIsLeftAlone(t *testing.T) {
	s := newStage(t, t.TempDir())
	defer s.close()
	s.put(t, "demo")
	later := []byte(`{"version": 99, "vm": {"place": "moon"}}`)
	if err := os.WriteFile(s.layout.Record("demo"), later, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Reload("demo")
	e, _ := s.Get("demo")
	if e.Record == nil || !errors.Is(e.RecordProblem, ErrNewer) || errors.Is(e.RecordProblem, ErrDamaged) || e.RecordProblem.Hint == "" {
		t.Errorf("%+v", e)
	}
	if err := s.UpdateRecord("demo", func(r *Record) { r.Generation++ }); !errors.Is(err, ErrNewer) {
		t.Errorf("update: %v", err)
	}
	if err := s.PutRecord(Record{Machine: "demo", Backend: "staged"}); !errors.Is(err, ErrNewer) {
		t.Errorf("put: %v", err)
	}
	if text, err := os.ReadFile(s.layout.Record("demo")); err != nil || !bytes.Equal(text, later) || len(damaged.Find(s.layout.Records())) != 0 {
		t.Errorf("the file is %s, %v; set aside: %v", text, err, damaged.Find(s.layout.Records()))
	}
}
