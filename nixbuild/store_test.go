package nixbuild

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeBuilder builds a disk of a few bytes. It keeps the contract of Builder.
type fakeBuilder struct {
	kind    string
	builds  atomic.Int32
	started chan struct{} // receives one value for every build
	proceed chan struct{} // a build goes on when this is closed; nil = at once
	fail    error
	wrongID bool
	missing []Missing
}

func newFake() *fakeBuilder { return &fakeBuilder{kind: "fake", started: make(chan struct{}, 16)} }

func (b *fakeBuilder) Kind() string        { return b.kind }
func (b *fakeBuilder) Profiles() Catalogue { return nil }
func (b *fakeBuilder) Check() []Missing    { return b.missing }

func (b *fakeBuilder) ID(req Request) (string, error) {
	if err := CheckMode(req.Mode); err != nil {
		return "", err
	}
	return "fake-" + req.Mode + "-0123456789abcdef", nil
}

func (b *fakeBuilder) Build(ctx context.Context, req Request, dir string, report progress.Reporter) (Image, error) {
	b.builds.Add(1)
	report.Message("image", "building")
	if err := os.WriteFile(filepath.Join(dir, "disk.raw"), []byte("half"), 0o600); err != nil {
		return Image{}, err
	}
	b.started <- struct{}{}
	if b.proceed != nil {
		select {
		case <-b.proceed:
		case <-ctx.Done():
			return Image{}, ctx.Err()
		}
	}
	if b.fail != nil {
		return Image{}, b.fail
	}
	content := make([]byte, 512)
	if err := os.WriteFile(filepath.Join(dir, "disk.raw"), content, 0o600); err != nil {
		return Image{}, err
	}
	report.Report(progress.Update{Vertex: "image", Current: 1, Total: 1})
	img := goodImage()
	img.ID, _ = b.ID(req)
	if b.wrongID {
		img.ID += "x"
	}
	img.Mode = req.Mode
	return img, nil
}

func goodImage() Image {
	sum := sha256.Sum256(make([]byte, 512))
	return Image{
		Contract: ContractVersion, ID: "fake-immutable-0123456789abcdef", Distro: "debian", Mode: Immutable, Profiles: []string{"dev"},
		System: "x86_64-linux", Disk: Disk{File: "disk.raw", Format: "raw", VirtualSize: 512, SHA256: hex.EncodeToString(sum[:])},
		Version: "1", Built: time.Unix(0, 0).UTC(), Source: "a test",
	}
}

var fakeRequest = Request{Kind: "fake", Mode: Immutable}

func TestAnImageThatWasPutElsewhereIsStillOne(t *testing.T) {
	store := OpenStore(t.TempDir(), newFake())
	img, err := store.Ensure(t.Context(), fakeRequest, nil)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "image")
	if err := errors.Join(os.Rename(img.Dir, elsewhere), os.Symlink(elsewhere, img.Dir)); err != nil {
		t.Fatal(err)
	}
	if list, errs := store.List(); len(list) != 1 || len(errs) > 0 || list[0].ID != img.ID {
		t.Errorf("listed: %+v, %v", list, errs)
	}
	if err := store.Remove(img.ID); err != nil {
		t.Fatal(err)
	}
	if list, errs := store.List(); len(list) > 0 || len(errs) > 0 {
		t.Errorf("listed after its removal: %+v, %v", list, errs)
	}
	if _, err := os.Stat(elsewhere); err != nil {
		t.Errorf("what the link led to is gone too: %v", err)
	}
}

func TestCallersOfOneImageShareItsBuild(t *testing.T) {
	b := newFake()
	b.proceed = make(chan struct{})
	dir := t.TempDir()
	// Two stores on one directory stand for two processes: the lock is between them.
	stores := []*Store{OpenStore(dir, b), OpenStore(dir, b)}
	var wg sync.WaitGroup
	var heard atomic.Int32
	for i := range 8 {
		wg.Go(func() {
			img, err := stores[i%2].Ensure(t.Context(), fakeRequest, func(u progress.Update) {
				if u.Total == 1 {
					heard.Add(1)
				}
			})
			if err != nil || img.ID == "" {
				t.Errorf("caller %d: %+v, %v", i, img, err)
			}
		})
	}
	<-b.started
	close(b.proceed)
	wg.Wait()
	if n := b.builds.Load(); n != 1 {
		t.Errorf("built %d times", n)
	}
	if heard.Load() == 0 {
		t.Error("no progress was reported")
	}
	onlyImages(t, stores[0], 1)
}

func TestTheLastCallerToLeaveCancelsTheBuild(t *testing.T) {
	b := newFake()
	b.proceed = make(chan struct{})
	s := OpenStore(t.TempDir(), b)
	ctx, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := s.Ensure(ctx, fakeRequest, nil)
		first <- err
	}()
	<-b.started
	id, _ := b.ID(fakeRequest)
	c, second := s.join(id, b, fakeRequest, nil)

	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first caller got %v", err)
	}
	select {
	case <-c.done:
		t.Fatal("the build ended though a request waits for it")
	default:
	}
	if !c.leave(second) {
		t.Error("the second caller was not the last")
	}
	<-c.done
	onlyImages(t, s, 0)

	// And the next caller is not told of a cancellation that was not his.
	close(b.proceed)
	if _, err := s.Ensure(t.Context(), fakeRequest, nil); err != nil {
		t.Errorf("after a cancelled build: %v", err)
	}
}

func TestAFailedBuildLeavesNothing(t *testing.T) {
	tests := map[string]struct {
		fail    error
		wrongID bool
		want    problem.Code
	}{
		"the builder fails":        {fail: problem.New(problem.ImageBuildFailed, "no"), want: problem.ImageBuildFailed},
		"the disk is full":         {fail: fmt.Errorf("write: %w", syscall.ENOSPC), want: problem.DiskFull},
		"a tool finds a full disk": {fail: errors.New("tar: No space left on device"), want: problem.DiskFull},
		"it makes another image":   {wrongID: true, want: problem.ImageBuildFailed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newFake()
			b.fail, b.wrongID = tt.fail, tt.wrongID
			s := OpenStore(t.TempDir(), b)
			if _, err := s.Ensure(t.Context(), fakeRequest, nil); !problem.HasCode(err, tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			onlyImages(t, s, 0)
			b.fail, b.wrongID = nil, false
			if _, err := s.Ensure(t.Context(), fakeRequest, nil); err != nil {
				t.Errorf("the next try: %v", err)
			}
		})
	}
}

func TestABrokenImageIsToldAndBuiltAgain(t *testing.T) {
	tests := map[string]func(dir string) error{
		"no disk":         func(dir string) error { return os.Remove(filepath.Join(dir, "disk.raw")) },
		"an empty disk":   func(dir string) error { return os.Truncate(filepath.Join(dir, "disk.raw"), 0) },
		"no description":  func(dir string) error { return os.Remove(filepath.Join(dir, ImageFile)) },
		"no JSON":         func(dir string) error { return os.WriteFile(filepath.Join(dir, ImageFile), []byte("{"), 0o600) },
		"another image's": func(dir string) error { img := goodImage(); img.ID = "another-image"; return WriteImage(dir, img) },
		"a disk that is no file": func(dir string) error {
			os.Remove(filepath.Join(dir, "disk.raw"))
			return os.Symlink("/dev/zero", filepath.Join(dir, "disk.raw"))
		},
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			b := newFake()
			s := OpenStore(t.TempDir(), b)
			img, err := s.Ensure(t.Context(), fakeRequest, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(img.Dir); err != nil {
				t.Fatal(err)
			}
			if images, errs := s.List(); len(images) != 0 || len(errs) != 1 {
				t.Errorf("listed %v and %v", images, errs)
			}
			if _, err := s.Get(img.ID); !problem.HasCode(err, problem.ImageCorrupt) && !problem.HasCode(err, problem.ImageNotFound) {
				t.Errorf("got %v", err)
			}
			again, err := s.Ensure(t.Context(), fakeRequest, nil)
			if err != nil || b.builds.Load() != 2 {
				t.Fatalf("%v after %d builds", err, b.builds.Load())
			}
			if err := s.Verify(t.Context(), again); err != nil {
				t.Error(err)
			}
			onlyImages(t, s, 1)
		})
	}
}

func TestVerifyFindsAChangedDisk(t *testing.T) {
	s := OpenStore(t.TempDir(), newFake())
	img, err := s.Ensure(t.Context(), fakeRequest, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(img.DiskPath(), []byte(strings.Repeat("x", 512)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), img); !problem.HasCode(err, problem.ImageCorrupt) {
		t.Errorf("got %v", err)
	}
}

func TestOpeningAStoreSweepsWhatDeadBuildsLeft(t *testing.T) {
	dir := t.TempDir()
	b := newFake()
	s := OpenStore(dir, b)
	live, unlock, err := s.workDir(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	for _, name := range []string{buildPrefix + "dead/" + lockName, buildPrefix + "dead/disk", buildPrefix + "removed/image/disk", buildPrefix + "bare/"} {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			continue
		}
		if err := os.WriteFile(full, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	OpenStore(dir, b)
	left, err := filepath.Glob(filepath.Join(dir, buildPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{live}, left); diff != "" {
		t.Errorf("left after the sweep (-want +got):\n%s", diff)
	}
}

func TestARemovedImageIsGone(t *testing.T) {
	s := OpenStore(t.TempDir(), newFake())
	img, err := s.Ensure(t.Context(), fakeRequest, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds none: no error
		if err := s.Remove(img.ID); err != nil {
			t.Fatal(err)
		}
	}
	onlyImages(t, s, 0)
	if err := s.Remove("../" + img.ID); !problem.HasCode(err, problem.ImageNotFound) {
		t.Errorf("an id that is a path: %v", err)
	}
}

func TestRequestsThatCannotBeBuiltAreRefusedEarly(t *testing.T) {
	b := newFake()
	b.missing = []Missing{{Program: "tar", Fix: "sudo apt-get install tar"}, {Program: "mcopy", Fix: "sudo apt-get install mtools"}}
	s := OpenStore(t.TempDir(), b)
	if _, err := s.CheckRequest(Request{Kind: "nixos", Mode: Immutable}); !problem.HasCode(err, problem.ImageUnsupported) {
		t.Errorf("a kind without builder: %v", err)
	}
	if _, err := s.CheckRequest(Request{Kind: "fake", Mode: "melted"}); !problem.HasCode(err, problem.ModeUnsupported) {
		t.Errorf("an unknown mode: %v", err)
	}
	_, err := s.CheckRequest(fakeRequest)
	if !problem.HasCode(err, problem.BackendMissing) || problem.From(err).Hint != "sudo apt-get install tar mtools" {
		t.Errorf("missing programs: %v, hint %q", err, problem.From(err).Hint)
	}
	if s.CanBuild("fake") || len(s.Missing()) != 1 {
		t.Error("the store says that it can build without the programs")
	}
	twin := newFake()
	twin.kind, twin.missing = "twin", b.missing
	if all := OpenStore(t.TempDir(), b, twin).Missing(); len(all) != 1 || !strings.Contains(all[0].Message, "fake and twin images") {
		t.Errorf("what two kinds miss alike is said once: %v", all)
	}
	b.missing = nil
	if !s.CanBuild("fake") || s.CanBuild("nixos") || len(s.Missing()) != 0 {
		t.Error("the store does not say what it can build")
	}
}

func TestALockIsWaitedForUntilTheContextEnds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Lock(ctx, file); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a lock that is held: %v", err)
	}
	unlock()
	again, err := Lock(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
