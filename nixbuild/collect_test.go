package nixbuild

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// discarding is a builder whose images hold something elsewhere.
type discarding struct {
	*fakeBuilder
	discard func(Image)
}

func (b discarding) Discard(_ context.Context, img Image) error {
	b.discard(img)
	return nil
}

// TestNothingIsHeldWhileNixFreesAnImage is what lets a create go on that needs
// the same image: nix may wait for minutes for its own lock.
func TestNothingIsHeldWhileNixFreesAnImage(t *testing.T) {
	claimed, discarded := 0, false
	var store *Store
	store = OpenStore(t.TempDir(), discarding{newFake(), func(img Image) {
		discarded = true
		if claimed != 0 {
			t.Error("the image is still claimed")
		}
		if _, err := store.Ensure(t.Context(), fakeRequest, nil); err != nil {
			t.Errorf("it cannot be made again: %v", err)
		}
	}})
	img := goodImage()
	img.StorePath = t.TempDir()
	if err := os.WriteFile(filepath.Join(img.StorePath, "disk.raw"), make([]byte, 512), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(store.Dir(), img.ID)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteImage(dir, img); err != nil {
		t.Fatal(err)
	}
	claim := func(string) (string, func(), error) {
		claimed++
		return "", func() { claimed-- }, nil
	}
	list, errs := store.Collect(t.Context(), Rules{All: true, Claim: claim})
	if len(errs) > 0 || len(list) != 1 || list[0].Kept != "" || !discarded {
		t.Errorf("collected %+v, %v; freed: %v", list, errs, discarded)
	}
}

func TestACollectionThatIsCancelledRemovesNoMore(t *testing.T) {
	store := OpenStore(t.TempDir(), newFake())
	if _, err := store.Ensure(t.Context(), fakeRequest, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	list, errs := store.Collect(ctx, Rules{All: true, Claim: func(string) (string, func(), error) { return "", func() {}, nil }})
	if len(list) > 0 || len(errs) != 1 {
		t.Errorf("collected %+v, %v", list, errs)
	}
	if left, _ := store.List(); len(left) != 1 {
		t.Errorf("left: %+v", left)
	}
}
