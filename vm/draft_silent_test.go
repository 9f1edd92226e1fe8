package vm

import (
	"context"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
)

// silent is a backend that does not answer.
type silent struct{ backends.Backend }

func (silent) Status(ctx context.Context, _ backends.Ref) (backends.Status, error) {
	<-ctx.Done()
	return backends.Status{}, ctx.Err()
}

// What is typed is not refused because a backend is slow, and the rest is still checked.
func TestADraftDoesNotWaitForABackendThatDoesNotAnswer(t *testing.T) {
	h := draftHouse(t)
	h.mu.Lock()
	h.backends["silent"] = silent{h.fake}
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	fields := h.CheckDraft(ctx, Draft{Create: &api.CreateParams{Name: "new", Backend: "silent", Mode: "odd"}})
	if f := fields[fieldBackend]; !f.OK || f.Problem != nil || f.Note != draftUnknown || f.Value != "silent" {
		t.Errorf("the backend is %+v", f)
	}
	if f := fields[fieldMode]; f.OK || f.Problem == nil {
		t.Errorf("the mode is %+v", f)
	}
}
