package nixos

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/nix"
)

// storeSource is a file of a flake as nix names it after having copied it.
var storeSource = regexp.MustCompile(`/[^\s'"]*/[0-9a-z]{32}-source/([^\s'":)]+)`)

// Nix that is older than this cannot evaluate nixpkgs of today: lib/minfeatures.nix
// there, since August 2025.
const minMajor, minMinor = 2, 18

// versionLimit bounds nix --version.
const versionLimit = 10 * time.Second

// Check says what is missing for building here.
func (b *Builder) Check() []nixbuild.Missing {
	var out []nixbuild.Missing
	program := nix.Find()
	if program == "" {
		out = append(out, nixbuild.Missing{Program: "nix", Fix: nix.InstallHint})
	} else if v := b.nix.of(program); b.flake.usesNixpkgs() && tooOld(v) {
		out = append(out, nixbuild.Missing{Program: "nix 2.18 or later (this is " + v + ")", Fix: nix.InstallHint})
	}
	return out
}

// usesNixpkgs reports whether the flake is locked to a nixpkgs. A flake of the
// user's own that is not can be built by any nix.
func (f *Flake) usesNixpkgs() bool {
	return strings.Contains(string(f.expected()["flake.lock"]), `"nixpkgs"`)
}

func tooOld(version string) bool {
	words := strings.Split(version, ".")
	if len(words) < 2 {
		return false // not a number that we understand: nix itself will say
	}
	major, err1 := strconv.Atoi(words[0])
	minor, err2 := strconv.Atoi(words[1])
	return err1 == nil && err2 == nil && (major < minMajor || major == minMajor && minor < minMinor)
}

// versions remembers which version a program is: every create asks.
type versions struct {
	mu      sync.Mutex
	program string
	changed time.Time
	version string
}

// of returns the version of a program, "" if it cannot be asked.
func (v *versions) of(program string) string {
	real, err := filepath.EvalSymlinks(program)
	if err != nil {
		return ""
	}
	info, err := os.Stat(real)
	if err != nil {
		return ""
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.program != real || !v.changed.Equal(info.ModTime()) {
		ctx, cancel := context.WithTimeout(context.Background(), versionLimit)
		defer cancel()
		version, err := nix.Version(ctx)
		if err != nil {
			return ""
		}
		v.program, v.changed, v.version = real, info.ModTime(), version
	}
	return v.version
}
