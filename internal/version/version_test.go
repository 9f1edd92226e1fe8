package version

import "testing"

func TestTheLinkedNumberWins(t *testing.T) {
	old := number
	t.Cleanup(func() { number = old })

	number = "v1.2.3"
	if got := String(); got != "v1.2.3" {
		t.Errorf("String() = %q, want the number that was linked in", got)
	}
	number = ""
	if got := String(); got != "dev" {
		t.Errorf("String() of a test binary = %q, want dev", got)
	}
}
