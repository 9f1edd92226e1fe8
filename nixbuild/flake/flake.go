// Package flake holds the sources of NixOS images: a Nix flake with modules,
// profiles and the programs that run in the guest at boot. README.md in this directory
// is the contract between it and the code that drives nix.
//
// The programs of guest/ are written once for both guests: the trial guest takes
// them as they are, a NixOS image with their paths replaced (guest/relocate.sed).
package flake

import (
	"embed"
	"io/fs"
	"strings"
)

// Files is the flake as it is written into the user's data directory.
//
//go:embed flake.nix flake.lock image.nix lib modules profiles guest
var Files embed.FS

// The kinds of place where a guest keeps its identity; see GuestPrograms.
const (
	OnState = "state" // /var/identity, on the state disk
	InEtc   = "mutable"
)

// GuestPrograms returns the programs that run at boot and what they source, by
// their names in the guest's directory for them (/usr/lib/nixvm in the trial
// guest). places is OnState or InEtc.
func GuestPrograms(places string) (map[string][]byte, error) {
	entries, err := fs.ReadDir(Files, "guest")
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, e := range entries {
		name := e.Name()
		switch {
		case name == "places-"+places+".sh":
			name = "places.sh"
		case strings.HasPrefix(name, "places-"), name == "relocate.sed":
			continue
		}
		data, err := Files.ReadFile("guest/" + e.Name())
		if err != nil {
			return nil, err
		}
		out[name] = data
	}
	return out, nil
}
