// Command gen writes what is made from the Go types of packages api and rpc: the OpenRPC
// description, the protocol page, the TypeScript types of the VS Code extension,
// and the fixture of the editors' tests. Run it by go generate ./rpc; a test fails when any is out of date.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/rpc/internal/gen/generate"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// run writes every file; go generate starts it in the directory of package rpc.
func run() error {
	root, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	files, err := generate.Files(root)
	if err != nil {
		return err
	}
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := atomicfile.Write(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
