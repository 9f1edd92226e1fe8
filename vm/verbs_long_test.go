//go:build long

package vm

import "testing"

// Every verb on every phase that offers it, in a house of its own.
func TestLongWhatIsOfferedIsNotRefused(t *testing.T) {
	tried := 0
	for verb := range verbCalls() {
		tried += tryVerb(t, verbHouse(t), verb)
	}
	if tried < 55 {
		t.Errorf("only %d requests were tried", tried)
	}
}
