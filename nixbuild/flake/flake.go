// Package flake holds what NixOS images are made of: a Nix flake with modules,
// profiles and the programs that run in the guest at boot. README.md beside is
// the contract between it and the code that drives nix.
package flake

import "embed"

// Files is the flake as it is written into the user's data directory.
//
//go:embed README.md
var Files embed.FS
