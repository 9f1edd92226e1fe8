// Command nixvmd creates and manages VMs for code agents: the daemon and its
// command line in one program.
//
//	nixvmd create demo --profiles claude,dev     a VM, booted, with an SSH name
//	ssh demo                                     also from an editor: /ssh:demo:
//	nixvmd snapshot demo before-refactor         the state disk, live
//	nixvmd restore-snapshot demo before-refactor
//	nixvmd destroy demo                          and nothing is left
//
// Every verb but serve is a client: it talks JSON-RPC to the daemon over a unix
// socket of this user, and starts the daemon when none runs. VMs and operations
// outlive both the client and the daemon.
//
// The standard output holds the answer and nothing else, with --json as exactly
// one JSON value; progress, questions, warnings and errors go to the standard
// error. `nixvmd help exit-codes` lists what the exit codes mean, docs/cli.md
// all verbs and flags.
//
// One verb per file, named after it.
package main

import (
	"context"
	"os"

	"github.com/nixvm/nixvm/cmd/nixvmd/internal/calm"
)

func main() {
	calm.Restore()
	os.Exit(run(context.Background(), os.Args[1:]))
}
