// Package nix drives the nix program: it builds an attribute of a file, shows
// how far that is, stops it, and says in a person's words why it failed.
//
// Nothing is parsed that nix writes for people. Results are its JSON, progress
// is its internal-json log, whose reader (Stream) takes what every nix from 2.8
// on writes and ignores what it does not know: activity and result types, keys,
// actions. Only the texts of errors are looked at, to find the hint that helps
// (classify.go); a text that is not known is shown as it is.
//
// Which store, caches and remote builders are used is nix's own configuration.
package nix
