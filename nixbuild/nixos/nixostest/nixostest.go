// Package nixostest has a flake for tests: it needs no nixpkgs and no network,
// any nix builds it, and its output is an image.
//
// By default that image is a disk that cannot boot. Given the directory of a bootable
// image, such as one of package trialtest, the output is a copy of that image: built
// by nix, from a derivation, and in the Nix store.
package nixostest

import (
	"os"
	"path/filepath"
)

// Files returns the flake, by names. From is the directory of an image whose
// files the derivation takes; "" makes a small disk.
func Files(from string) map[string][]byte {
	return map[string][]byte{
		"image.nix":          []byte(imageNix),
		"from":               []byte(from),
		"profiles/core.nix":  []byte("# the least\n{ }\n"),
		"profiles/dev.nix":   []byte("# tools\n{ }\n"),
		"profiles/agent.nix": []byte("# an agent\n# agent: yes\n# requires: dev (it works with them)\n{ }\n"),
		"profiles/fails.nix": []byte("# its builder fails\n# conflicts: dev\n{ }\n"),
		"profiles/slow.nix":  []byte("# its builder ticks until it is stopped\n{ }\n"),
	}
}

// Write writes the flake into a directory, as a user's own.
func Write(dir, from string) error {
	for name, content := range Files(from) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// imageNix says what it does in phases, as the real one. A builder of a few
// milliseconds is killed now and then (nixtest.Retry), so it takes its time.
const imageNix = `{ profiles ? "", mode ? "immutable", system ? "x86_64-linux" }:
let
  has = name: builtins.elem name (builtins.filter builtins.isString (builtins.split "," profiles));
  sh = name: text: derivation {
    inherit name system profiles mode;
    from = builtins.readFile ./from;
    builder = "/bin/sh";
    PATH = "/usr/bin:/bin:/usr/sbin:/sbin";
    args = [ "-c" ("set -e; phase() { echo \"@nix { \\\"action\\\": \\\"setPhase\\\", \\\"phase\\\": \\\"$1\\\" }\" >&2; }; exec 2>&1\n" + text) ];
  };
in
{
  image =
    if has "fails" then sh "failing-image" "phase unpack; echo about to fail; (exec sleep 0.3); echo the reason; exit 7"
    else if has "slow" then sh "slow-image" "trap '' INT; while :; do echo tick; (exec sleep 0.2); done"
    else sh "nixos-image-${mode}" ''
      phase disk
      mkdir $out
      cd $out
      (exec sleep 0.3)
      if [ -n "$from" ]; then
        cp "$from"/* .
        sed -i 's/"distro": "[a-z]*"/"distro": "nixos"/' image.json
        exit
      fi
      head -c 1048576 /dev/zero >disk.raw
      printf 'EFI PART' | dd of=disk.raw bs=1 seek=512 conv=notrunc 2>/dev/null
      phase description
      sum=$(sha256sum disk.raw)
      cat >image.json <<END
      { "contract": 1, "id": "nixos-$mode-0123456789abcdef", "distro": "nixos", "mode": "$mode", "profiles": [], "system": "$system",
        "disk": { "file": "disk.raw", "format": "raw", "virtualSize": 1048576, "sha256": "''${sum%% *}" },
        "version": "test", "built": "2026-01-01T00:00:00Z", "source": "a flake for tests" }
      END
    '';
}
`
