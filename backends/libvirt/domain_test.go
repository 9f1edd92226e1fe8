package libvirt

import (
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/cond"
)

func TestAnOlderAnswerNeverReplacesANewerOne(t *testing.T) {
	b := &Backend{domains: map[string]*domain{}, gone: map[string]query{}, events: backends.NewQueue()}
	b.changed = cond.New(&b.mu, nil, errClosed)
	defer b.events.Close()
	answer := func(at query, s backends.State) {
		b.put("demo", domain{sent: at, status: backends.Status{State: s}})
	}
	says := func(want backends.State) {
		t.Helper()
		d, ok := b.get("demo")
		if got := d.status.State; ok != (want != backends.Absent) || ok && got != want {
			t.Errorf("memory says %s, want %s", got, want)
		}
	}
	old := b.nextQuery()
	answer(b.nextQuery(), backends.Running)
	answer(old, backends.Stopped)
	says(backends.Running)
	b.forget("demo", old)
	says(backends.Running)
	b.forget("demo", b.nextQuery())
	answer(old, backends.Running) // on its way while the VM was destroyed
	says(backends.Absent)
	answer(b.nextQuery(), backends.Stopped) // created anew
	says(backends.Stopped)
}
