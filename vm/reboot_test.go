package vm

import (
	"slices"
	"sync"
	"testing"
)

// A reset would keep the process, and with it connections to the old guest that
// clients hang on.
func TestRebootEndsTheVMAndStartsItAgain(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	h := open(t, t.TempDir(), images{}, func(method, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, method)
		return nil
	}, nil)
	h.create(t, "demo")
	mu.Lock()
	asked = nil
	mu.Unlock()
	op, err := h.Reboot(background, "demo", "t")
	h.succeed(t, op, err)
	if v, err := h.Get("demo"); err != nil || !v.Ready {
		t.Errorf("after the reboot: %+v, %v", v, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"shutdown", "start"}; !slices.Equal(asked, want) {
		t.Errorf("the backend was asked for %v, want %v", asked, want)
	}
}
