package vm

import (
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/vm/inventory"
)

// A VM that only has the name of one of ours, because a record or a directory came back
// from a backup, for example, is neither ended nor removed.
func TestANamesakeIsLeftAlone(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	const another = "0b1fd9b6-6f0c-4f0e-8c0f-6a4a7c1f9d11"
	if err := h.inventory.UpdateRecord("demo", func(r *inventory.Record) { r.UUID = another }); err != nil {
		t.Fatal(err)
	}
	op, err := h.Kill(background, "demo", "")
	if err == nil {
		op, err = h.Wait(background, op.ID)
	}
	if err != nil || op.Problem == nil || op.Problem.Code != problem.VMNotFound {
		t.Fatalf("%+v, %v", op, err)
	}
	st, err := h.fake.Status(background, backends.Named("demo"))
	if err != nil || st.State != backends.Running {
		t.Fatalf("after kill: %+v, %v", st, err)
	}
	op, err = h.Purge(background, "demo", "demo", "")
	h.succeed(t, op, err)
	if st, err = h.fake.Status(background, backends.Named("demo")); err != nil || st.State != backends.Running {
		t.Errorf("after purge: %+v, %v", st, err)
	}
	if h.recordOf("demo") != nil {
		t.Error("the record of a VM that is not there stays")
	}
}

// Records of earlier versions do not say which VM they are about. Their VMs go on as they
// are, and the next start completes the record.
func TestARecordOfAnEarlierVersionLearnsItsVM(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	uuid := h.recordOf("demo").UUID
	if err := h.inventory.UpdateRecord("demo", func(r *inventory.Record) { r.UUID = "" }); err != nil || uuid == "" {
		t.Fatal(uuid, err)
	}
	if got := h.ref("demo"); got.UUID != uuid {
		t.Errorf("%+v, want what the backend says: %s", got, uuid)
	}
	op, err := h.Kill(background, "demo", "")
	h.succeed(t, op, err)
	op, err = h.Start(background, "demo", "")
	h.succeed(t, op, err)
	if got := h.recordOf("demo").UUID; got != uuid {
		t.Errorf("the record says %q, want %s", got, uuid)
	}
}
