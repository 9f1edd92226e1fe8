// Package nix drives the nix program: it builds an attribute of a file, shows
// its progress, stops it, and explains to the user why it failed.
//
// Output that nix writes for people is not parsed. Results are its JSON, progress
// is its internal-json log, whose reader (Stream) takes what every nix from 2.8
// on writes and ignores what it does not know: activity and result types, keys,
// actions. Only the texts of errors are looked at, to find the hint that helps
// (classify.go); an unknown text is shown unchanged.
//
// The store, caches and remote builders are those of nix's own configuration.
package nix
