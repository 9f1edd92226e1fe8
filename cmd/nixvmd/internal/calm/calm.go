// Package calm keeps a library from talking to the terminal before main runs.
//
// bubbletea, which huh stands on, asks the terminal for its background colour
// while it is initialised: at every start of the program, with any verb. On
// a terminal that does not answer this costs seconds, and it swallows what was
// typed ahead. So this package, which is initialised first, hides the terminal
// from it, and main shows it again.
//
// First, because Go initialises packages that are ready in the order of their
// import paths (The Go Programming Language Specification, "Program
// initialization"): bubbletea waits for github.com/rivo/uniseg, this package
// only for os. TestStartIsSilent watches over it.
package calm

import "os"

// hidden is package state because nothing else exists before main.
var hidden = hide()

type terminal struct {
	name string
	set  bool
}

func hide() terminal {
	name, set := os.LookupEnv("TERM")
	if set {
		// An error leaves things as the library has them anyway.
		_ = os.Setenv("TERM", "dumb")
	}
	return terminal{name, set}
}

// Restore puts TERM back. main calls it first.
func Restore() {
	if hidden.set {
		_ = os.Setenv("TERM", hidden.name)
	}
}
