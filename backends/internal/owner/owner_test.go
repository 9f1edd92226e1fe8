package owner

import (
	"regexp"
	"testing"
)

func TestAnOwnerIsItsMachineUserAndStateDirectory(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range []struct {
		machine string
		uid     int
		state   string
	}{{"m", 1000, "/a"}, {"m", 1000, "/b"}, {"m", 1001, "/a"}, {"n", 1000, "/a"}} {
		seen[id(o.machine, o.uid, o.state)] = true
	}
	if len(seen) != 4 {
		t.Errorf("%v", seen)
	}
	// Domains that exist carry it: another one would orphan them.
	if got := id("0123456789abcdef0123456789abcdef", 1000, "/home/ann/.local/state/nixvm"); got != "950767c2" {
		t.Errorf("the ID is now %s", got)
	}
}

func TestTheOwnerStays(t *testing.T) {
	o := Of("/state")
	if o != Of("/state") || o.ID == Of("/other").ID {
		t.Errorf("%+v", o)
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}$`).MatchString(o.ID) || !regexp.MustCompile(`^[^@]+@[^@]*$`).MatchString(o.User) {
		t.Errorf("%+v", o)
	}
}
