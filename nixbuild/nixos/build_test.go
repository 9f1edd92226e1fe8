package nixos_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/nix/nixtest"
	"github.com/nixvm/nixvm/nixbuild/nixos"
	"github.com/nixvm/nixvm/nixbuild/nixos/nixostest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is more than a build takes here on a loaded machine.
const limit = 3 * time.Minute

// house is an image store with a flake and a Nix store of its own.
type house struct {
	*nixbuild.Store
	flake string
	store string // the Nix store
}

func newHouse(t *testing.T) house {
	t.Helper()
	h := house{store: nixtest.Store(t), flake: filepath.Join(t.TempDir(), "my flake")}
	if err := nixostest.Write(h.flake, ""); err != nil {
		t.Fatal(err)
	}
	return h.reopen(t)
}

// reopen is the next daemon.
func (h house) reopen(t *testing.T) house {
	t.Helper()
	dir := filepath.Join(filepath.Dir(h.flake), "images")
	f := nixos.NewFlake(h.flake, os.DirFS(h.flake), func(text string) { t.Log(text) })
	h.Store = nixbuild.OpenStore(dir, nixos.New(f, nixbuild.RootsDir(dir)))
	return h
}

func request(profiles ...string) nixbuild.Request {
	return nixbuild.Request{Kind: nixos.Kind, Mode: nixbuild.Immutable, Profiles: profiles}
}

func (h house) ensure(t *testing.T, report progress.Reporter, profiles ...string) (img nixbuild.Image, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	err = nixtest.Retry(func() error {
		img, err = h.Ensure(ctx, request(profiles...), report)
		return err
	})
	return img, err
}

// collectGarbage is what a user's own nix-collect-garbage does.
func collectGarbage(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("nix-store", "--gc").CombinedOutput(); err != nil {
		t.Fatalf("nix-store --gc: %v: %s", err, out)
	}
}

func TestAnImageStaysInTheNixStoreAsLongAsItIsKept(t *testing.T) {
	h := newHouse(t)
	var said []string
	img, err := h.ensure(t, func(u progress.Update) { said = append(said, u.Message+u.Log) }, "agent")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(img.DiskPath(), h.store+"/") || img.Distro != "nixos" || strings.Join(img.Profiles, ",") != "agent,dev" {
		t.Errorf("got %+v", img)
	}
	for _, want := range []string{"building nixos-image-immutable, disk (0/1)", "building nixos-image-immutable, description (0/1)"} {
		if !strings.Contains(strings.Join(said, "\n"), want) {
			t.Errorf("%q is missing in %q", want, said)
		}
	}
	collectGarbage(t)
	if err := h.Verify(t.Context(), img); err != nil {
		t.Errorf("after a garbage collection: %v", err)
	}
	// Opening the store again sweeps what is left over, not what is used.
	if again, err := h.reopen(t).Get(img.ID); err != nil || again.DiskPath() != img.DiskPath() {
		t.Errorf("the next daemon finds %+v, %v", again, err)
	}
	collectGarbage(t)
	if err := h.Verify(t.Context(), img); err != nil {
		t.Errorf("after another garbage collection: %v", err)
	}

	if err := h.Remove(img.ID); err != nil {
		t.Fatal(err)
	}
	collectGarbage(t)
	if _, err := os.Stat(img.DiskPath()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a removed image is still in the Nix store: %v", err)
	}
}

func TestTheSameImageIsBuiltOnce(t *testing.T) {
	h := newHouse(t)
	first, err := h.ensure(t, nil, "dev", "agent")
	if err != nil {
		t.Fatal(err)
	}
	second, err := h.ensure(t, func(u progress.Update) { t.Errorf("there is something to do: %+v", u) }, "agent")
	if err != nil || first.ID != second.ID {
		t.Errorf("%s and %s, %v", first.ID, second.ID, err)
	}
}

func TestAChangeOfTheFlakeIsAnotherImage(t *testing.T) {
	h := newHouse(t)
	first, err := h.ensure(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	mine := "# what I need\n{ }\n"
	if err := os.WriteFile(filepath.Join(h.flake, "profiles", "mine.nix"), []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	p, ok := h.Profiles().Lookup("mine")
	if !ok || p.Description != "what I need" {
		t.Errorf("the profile is %+v", p)
	}
	second, err := h.ensure(t, nil, "mine")
	if err != nil {
		t.Fatal(err)
	}
	if second.ID == first.ID || second.StorePath == first.StorePath || strings.Join(second.Profiles, ",") != "mine" {
		t.Errorf("got %+v", second)
	}
	// The first is of an earlier flake now: the collection takes it, and frees its files.
	list, errs := h.Collect(t.Context(), nixbuild.Rules{Claim: func(string) (string, func(), error) { return "", func() {}, nil }})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for _, c := range list {
		if (c.ID == first.ID) != (c.Kept == "") || c.Note != "" || c.Bytes == 0 {
			t.Errorf("collected: %+v", c)
		}
	}
	if _, err := os.Stat(first.StorePath); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its files are still there: %v", err)
	}
}

func TestABuildThatFailsOrIsCancelledLeavesNothing(t *testing.T) {
	h := newHouse(t)
	_, err := h.ensure(t, nil, "fails")
	if !problem.HasCode(err, problem.ImageBuildFailed) || !strings.Contains(err.Error(), "the build of failing-image failed with exit code 7:\n  about to fail\n  the reason") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	err = nixtest.Retry(func() error {
		_, err := h.Ensure(ctx, request("slow"), func(u progress.Update) {
			if strings.HasSuffix(u.Log, "tick") {
				cancel()
			}
		})
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if list, errs := h.List(); len(list) > 0 || len(errs) > 0 {
		t.Errorf("there is %v, %v", list, errs)
	}
	left, err := filepath.Glob(filepath.Join(h.Dir(), ".*", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
}

func TestAnErrorNamesTheUsersOwnFile(t *testing.T) {
	h := newHouse(t)
	path := filepath.Join(h.flake, "image.nix")
	if err := os.WriteFile(path, []byte("{ profiles, mode, system }:\n{ image = nowhere; }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := h.ensure(t, nil)
	if !problem.HasCode(err, problem.ImageBuildFailed) || !strings.Contains(err.Error(), path+":2:11") {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsNoImageIsRefused(t *testing.T) {
	for name, tt := range map[string]struct{ old, replaced, want string }{
		"no description":  {"cat >image.json", "cat >other.json", "no image in"},
		"another mode":    {`"mode": "$mode"`, `"mode": "mutable"`, "a mutable image instead of immutable"},
		"no disk":         {"sum=$(sha256sum disk.raw)", "sum=$(sha256sum disk.raw); rm disk.raw", "disk.raw is missing"},
		"no partitions":   {"printf 'EFI PART'", "printf 'NONE'", "no GPT partition table"},
		"another size":    {`"virtualSize": 1048576`, `"virtualSize": 512`, "512 bytes"},
		"files elsewhere": {`"version": "test"`, `"version": "test", "storePath": "/etc"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			path := filepath.Join(h.flake, "image.nix")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(string(text), tt.old, tt.replaced, 1)
			if changed == string(text) {
				t.Fatalf("there is no %q", tt.old)
			}
			if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			img, err := h.ensure(t, nil)
			if tt.want == "" {
				if err != nil || !strings.HasPrefix(img.StorePath, h.store) {
					t.Errorf("got %+v, %v", img, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(nixbuild.RootsDir(h.Dir()), "*")); len(left) > 0 {
				t.Errorf("it is kept in the Nix store: %q", left)
			}
		})
	}
}
