package machine

import (
	"slices"
	"testing"
)

func TestTheNameOfAKeyFindsNoOtherKey(t *testing.T) {
	const a, b = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgEA"
	for what, keys := range map[string][]string{
		"comments of their own": {a + " desk", b + " laptop"},
		"one comment for both":  {a + " desk", b + " desk"},
		"no comment":            {a, b + " laptop"},
		"a comment of its own":  {a + " me@my desk", b},
	} {
		names := KeyNames(keys)
		if len(names) != len(keys) {
			t.Fatalf("%s: %q", what, names)
		}
		for i, name := range names {
			if want := slices.Delete(slices.Clone(keys), i, i+1); !slices.Equal(RemoveKeys(keys, name), want) {
				t.Errorf("%s: %q leaves %q", what, name, RemoveKeys(keys, name))
			}
		}
	}
}
