package machine

import (
	"context"
	"testing"

	"github.com/nixvm/nixvm/internal/problem"
)

func newStore(t testing.TB) *Store {
	t.Helper()
	s, err := OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCreateThenReadThenDelete(t *testing.T) {
	s := newStore(t)
	m, err := s.Create(context.Background(), Draft{Name: "demo", Profiles: []string{"dev", "claude"}})
	if err != nil {
		t.Fatal(err)
	}
	if !m.IdentityComplete() {
		t.Errorf("identity is not complete: %+v", m)
	}
	if err := s.Delete("demo"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read("demo"); !problem.HasCode(err, problem.MachineNotFound) {
		t.Errorf("after Delete: %v", err)
	}
}
