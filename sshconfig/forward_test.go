package sshconfig

import (
	"fmt"
	"testing"

	"github.com/nixvm/nixvm/internal/forward"
)

// What a machine may have is what ssh takes: every kind that is not held.
func TestEveryKindOfForwardIsOneForSSH(t *testing.T) {
	c := newConfig(t)
	h := host("demo")
	for i, line := range []string{"%d localhost:3000", "[::1]:%d [::1]:9", "*:%d db.example:5432", "127.0.0.1:%d 10.0.0.1:1", "localhost:%d example.com.:80", "%d host_with-all.chars:1"} {
		f, err := forward.Parse(fmt.Sprintf(line, 9000+i))
		if err != nil {
			t.Fatal(err)
		}
		h.Forwards = append(h.Forwards, f)
	}
	if res := mustApply(t, c, h); len(res.Inherited) != 0 {
		t.Errorf("our own are taken for the user's: %v", res.Inherited)
	}
	if in, err := c.Inherited(t.Context(), "demo"); err != nil || len(in) != 0 {
		t.Errorf("our own are taken for the user's: %v, %v", in, err)
	}
	if got := answerOf(t, c, "demo")["remoteforward"]; len(got) != len(h.Forwards) {
		t.Errorf("ssh has %q", got)
	}
}
