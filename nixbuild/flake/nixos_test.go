package flake_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/contract"
	"github.com/nixvm/nixvm/nixbuild/flake"
	"github.com/nixvm/nixvm/nixbuild/internal/guesttest"
)

const gib = 1 << 30

// nixosImage builds an image with the nix of this machine, from its caches.
func nixosImage(t *testing.T, profiles, mode string) nixbuild.Image {
	t.Helper()
	if os.Getenv("NIXVM_TEST_NIXOS") == "" {
		t.Skip("builds a real NixOS image, which takes a nix of 2.18 or later and a binary cache: make test-nixos")
	}
	dir := filepath.Join(t.TempDir(), "flake")
	if err := os.CopyFS(dir, flake.Files); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "nix", "--extra-experimental-features", "nix-command flakes", "build", "--json", "--no-link", "--print-build-logs",
		"-f", filepath.Join(dir, "image.nix"), "image", "--argstr", "profiles", profiles, "--argstr", "mode", mode)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("nix build: %v", err)
	}
	var built []struct{ Outputs struct{ Out string } }
	if err := json.Unmarshal(out, &built); err != nil || len(built) != 1 {
		t.Fatalf("nix build says %q, %v", out, err)
	}
	img, err := nixbuild.ReadImage(built[0].Outputs.Out)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestNixOSObeysTheContract(t *testing.T) {
	for name, tt := range map[string]struct {
		profiles, mode string
		uefi           bool
	}{
		"immutable, booted directly":      {"", nixbuild.Immutable, false},
		"immutable, by firmware":          {"", nixbuild.Immutable, true},
		"an agent with development tools": {"claude,dev,docker,python,rust", nixbuild.Immutable, false},
		"semi-mutable":                    {"dev", nixbuild.SemiMutable, false},
	} {
		t.Run(name, func(t *testing.T) {
			img := nixosImage(t, tt.profiles, tt.mode)
			g := guesttest.Boot(t, guesttest.Config{Image: img, Identity: guesttest.NewIdentity(t, "nixone"), StateDisk: guesttest.NewDisk(t, 4*gib), UEFI: tt.uefi})
			c := guesttest.Target(img, g)
			c.NixOS = true
			contract.Run(t, c)
		})
	}
}

func TestMutableNixOSObeysTheContractAndHasAConfiguration(t *testing.T) {
	img := nixosImage(t, "", nixbuild.Mutable)
	g := guesttest.Boot(t, guesttest.Config{Image: img, Identity: guesttest.NewIdentity(t, "nixmine"), StateDisk: guesttest.MutableDisk(t, img, 12*gib)})
	deadline, tick := time.After(guesttest.Limit), time.NewTicker(time.Second)
	defer tick.Stop()
	for g.Run(t, "admin", "systemctl show -p SubState --value nixvm-nixos") != "dead" {
		select {
		case <-deadline:
			t.Fatalf("no configuration: %s", g.Run(t, "admin", "systemctl status nixvm-nixos || true"))
		case <-tick.C:
		}
	}
	g.Run(t, "admin", "nix eval --apply builtins.attrNames path:/etc/nixos#nixosConfigurations | grep -q nixmine && nix-store --verify && nix-env -p /nix/var/nix/profiles/system --list-generations | grep -q 1")
	c := guesttest.Target(img, g)
	c.NixOS = true
	contract.Run(t, c)
}
