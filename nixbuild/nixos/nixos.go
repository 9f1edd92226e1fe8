// Package nixos builds NixOS images with nix, from the flake in the user's data
// directory.
//
// The flake is written there at first use and is the user's from then on; a
// later nixvmd updates it without overwriting the user's changes (type
// Flake). Its files define everything: the available profiles, by reading
// their first lines, and the id of an image, by a digest of all of them, so
// that neither needs nix. nixbuild/flake/README.md is the contract between the
// flake and this package.
//
// An image stays where nix built it: the directory in the image store holds
// image.json alone, which names the store path (docs/decisions/0011).
package nixos

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/nix"
)

// Kind is the word of nixbuild.Request.Kind.
const Kind = "nixos"

// vertex is what progress reports of a build are about.
const vertex = "image"

// Builder builds NixOS images.
type Builder struct {
	flake *Flake
	roots string

	nix versions
}

var (
	_ nixbuild.Builder   = (*Builder)(nil)
	_ nixbuild.Discarder = (*Builder)(nil)
	_ nixbuild.Noter     = (*Builder)(nil)
)

// New returns the builder of a flake. roots is the directory of the links by
// which nix knows what is in use: nixbuild.RootsDir.
func New(flake *Flake, roots string) *Builder { return &Builder{flake: flake, roots: roots} }

// Kind is "nixos".
func (b *Builder) Kind() string { return Kind }

// Profiles lists the profiles of the flake, the user's own among them.
func (b *Builder) Profiles() nixbuild.Catalogue { return b.flake.Profiles() }

// ID names the image of a request; see nixbuild.Builder. It brings the flake up
// to date if there is one.
func (b *Builder) ID(req nixbuild.Request) (string, error) {
	files, err := b.flake.current()
	if err != nil {
		return "", err
	}
	return files.imageID(req)
}

// imageID is the digest of all that an image is made from, as the flake itself
// makes it (lib/request.nix). Any change of the flake changes it, also what
// this image does not use: then nix finds that there is nothing to build, in the
// time of an evaluation.
func (f files) imageID(req nixbuild.Request) (string, error) {
	mode, profiles, err := f.normalise(req)
	if err != nil {
		return "", err
	}
	request, err := json.Marshal(struct {
		Agent    bool     `json:"agent"`
		Mode     string   `json:"mode"`
		Profiles []string `json:"profiles"`
		System   string   `json:"system"`
	}{f.catalogue().HasAgent(profiles), mode, append([]string{nixbuild.Core}, profiles...), system()})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(f.list() + "\n" + string(request)))
	return fmt.Sprintf("%s-%s-%s", Kind, mode, hex.EncodeToString(sum[:])[:16]), nil
}

func (f files) normalise(req nixbuild.Request) (mode string, profiles []string, err error) {
	if mode = req.Mode; mode == "" {
		mode = nixbuild.Immutable
	}
	if err := nixbuild.CheckMode(mode); err != nil {
		return "", nil, err
	}
	profiles, err = f.catalogue().Normalise(req.Profiles)
	return mode, profiles, err
}

// system is nix's name of the machine that the image is for: this one.
func system() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64-linux"
	}
	return "x86_64-linux"
}

// Build makes the image; see nixbuild.Builder. dir stays empty: the files are in
// the Nix store, and a link below roots keeps them there.
func (b *Builder) Build(ctx context.Context, req nixbuild.Request, _ string, report progress.Reporter) (nixbuild.Image, error) {
	// What nix sees does not change under it, and lies at a path without letters
	// that mean something in an URL.
	snapshot, err := os.MkdirTemp("", "nixvm-flake-")
	if err != nil {
		return nixbuild.Image{}, err
	}
	defer os.RemoveAll(snapshot)
	if err := b.flake.Update(); err != nil {
		return nixbuild.Image{}, err
	}
	files, err := b.flake.current()
	if err != nil {
		return nixbuild.Image{}, err
	}
	if err := files.writeTo(snapshot, b.flake.dir); err != nil {
		return nixbuild.Image{}, err
	}
	id, err := files.imageID(req)
	if err != nil {
		return nixbuild.Image{}, err
	}
	mode, profiles, err := files.normalise(req)
	if err != nil {
		return nixbuild.Image{}, err
	}
	target := nix.Target{File: filepath.Join(snapshot, "image.nix"), Attribute: "image", Arguments: map[string]string{
		"profiles": strings.Join(profiles, ","), "mode": mode, "system": system(),
	}}
	img, err := b.realise(ctx, target, id, report)
	if err != nil {
		return nixbuild.Image{}, b.flake.inPlace(err, snapshot)
	}
	if img.Mode != mode {
		return nixbuild.Image{}, problem.New(problem.ImageBuildFailed, "the flake has built a %s image instead of %s", img.Mode, mode).
			WithHint("image.nix in %s must pass the mode on", b.flake.dir)
	}
	img.ID, img.Profiles, img.Built = id, profiles, time.Now().UTC().Truncate(time.Second)
	return img, nil
}

// realise builds the target and looks at what came out.
func (b *Builder) realise(ctx context.Context, target nix.Target, id string, report progress.Reporter) (nixbuild.Image, error) {
	if err := os.MkdirAll(b.roots, 0o700); err != nil {
		return nixbuild.Image{}, err
	}
	path, err := nix.Build(ctx, target, filepath.Join(b.roots, id), vertex, report)
	if err != nil {
		return nixbuild.Image{}, err
	}
	report.Message(vertex, "checking the image")
	img, err := nixbuild.ReadStorePath(ctx, path)
	if err != nil {
		return nixbuild.Image{}, fmt.Errorf("the output of the flake: %w", err)
	}
	return img, nil
}

// Discard removes the files of an image from the Nix store, if nothing else
// needs them; see nixbuild.Discarder.
func (b *Builder) Discard(ctx context.Context, img nixbuild.Image) error {
	if img.StorePath == "" {
		return errors.New("not in the Nix store")
	}
	return nix.Delete(ctx, img.StorePath)
}

// Notes says which files of the flake wait for the user; see nixbuild.Noter.
func (b *Builder) Notes() []string { return b.flake.Notes() }
