package nix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/nixvm/nixvm/internal/plaintext"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// Target is an attribute of a file of the Nix language that is a function.
type Target struct {
	File      string // absolute path
	Attribute string
	Arguments map[string]string // strings; they are data and never part of an expression
}

func (t Target) args() []string {
	args := []string{"--file", t.File, t.Attribute}
	for _, name := range slices.Sorted(maps.Keys(t.Arguments)) {
		args = append(args, "--argstr", name, t.Arguments[name])
	}
	return args
}

// Build builds a derivation and returns the path of its output in the store.
// root, an absolute path, becomes a symbolic link to it, which nix takes for a
// root of its garbage collection as long as it is there.
//
// Progress and the output of builders are reported about the vertex. A cancelled
// build has stopped its builders when Build returns. A failure is a problem in
// terms that tell the user what to do: image.build_failed, disk.full.
func Build(ctx context.Context, t Target, root, vertex string, report progress.Reporter) (string, error) {
	out, err := logged(ctx, vertex, report, append([]string{"build", "--json", "--out-link", root}, t.args()...)...)
	if err != nil {
		return "", err
	}
	var built []struct {
		Outputs map[string]string `json:"outputs"`
	}
	if err := json.Unmarshal(out, &built); err != nil || len(built) != 1 || !filepath.IsAbs(built[0].Outputs["out"]) {
		return "", problem.New(problem.ImageBuildFailed, "%s of %s is not a single derivation with one output: %q", t.Attribute, t.File, plaintext.Line(string(out), 300)).
			WithHint("it must be a derivation whose output is a directory with image.json")
	}
	return built[0].Outputs["out"], nil
}

// logged runs a command of nix with its internal-json log.
func logged(ctx context.Context, vertex string, report progress.Reporter, args ...string) ([]byte, error) {
	reader, writer := io.Pipe()
	stream, read := NewStream(vertex, report), make(chan error, 1)
	go func() {
		read <- stream.Read(reader)
		reader.Close()
	}()
	out, err := run(ctx, writer, append(args, "--log-format", "internal-json")...)
	writer.Close()
	if readErr := <-read; readErr != nil && err == nil {
		err = readErr
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, explain(stream.Failure(), exit)
	}
	if err != nil {
		return nil, fmt.Errorf("nix %s: %w", args[0], err)
	}
	stream.finish()
	return out, nil
}

// Delete removes a path from the store now, if nothing needs it, instead of at
// the next garbage collection.
func Delete(ctx context.Context, path string) error {
	_, err := logged(ctx, "", nil, "store", "delete", path)
	return err
}
