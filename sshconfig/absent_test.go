package sshconfig

import "testing"

// TestNoUserConfigIsNoFault: before the first machine and after the last there is
// no file, and ssh has nothing to refuse.
func TestNoUserConfigIsNoFault(t *testing.T) {
	c := newConfig(t)
	if err := c.Check(t.Context(), nil); err != nil {
		t.Errorf("before: %v", err)
	}
	for _, list := range [][]Host{hosts("demo"), nil} {
		if _, err := c.Apply(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		if err := c.Check(t.Context(), list); err != nil {
			t.Errorf("with %d: %v", len(list), err)
		}
	}
	if exists(c.UserConfig()) {
		t.Fatal("the file is still there: the check was not of its absence")
	}
}
