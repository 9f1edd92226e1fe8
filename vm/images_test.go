package vm

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
	"github.com/nixvm/nixvm/operation"
)

// why asks what would keep the one image of the fake store.
func (h house) why(t *testing.T) string {
	t.Helper()
	c, err := h.CollectImages(t.Context(), api.ImageGCParams{All: true, DryRun: true})
	if err != nil || len(c.Images) != 1 {
		t.Fatalf("%v, %v", c, err)
	}
	return c.Images[0].Kept
}

func TestAnImageIsInUseFromTheCreateToTheDestroy(t *testing.T) {
	var h house
	var during []string
	hook := func(e operation.Entry) {
		// The image is there, the record is not yet.
		if e.Step == "disks" && e.Event == "begin" {
			during = append(during, h.why(t))
		}
	}
	h = open(t, t.TempDir(), images{}, nil, hook)
	if why := h.why(t); why != "" {
		t.Errorf("before: %s", why)
	}
	h.create(t, "demo")
	if len(during) != 1 || during[0] != "demo" {
		t.Errorf("while it is created: %q", during)
	}
	if why := h.why(t); why != "demo" {
		t.Errorf("after the create: %q", why)
	}
	if list, err := h.Images(); err != nil || len(list) != 1 || strings.Join(list[0].Machines, ",") != "demo" {
		t.Errorf("listed: %+v, %v", list, err)
	}
	// A record that cannot be read is still one.
	record := filepath.Join(h.layout.Records(), "odd.json")
	if err := os.WriteFile(record, []byte(`{"previous": ["img1"`), 0o600); err != nil {
		t.Fatal(err)
	}
	if why := h.why(t); why != "demo, odd" {
		t.Errorf("with a broken record: %q", why)
	}
	os.Remove(record)
	op, err := h.Destroy(t.Context(), "demo", "demo", "")
	h.succeed(t, op, err)
	if why := h.why(t); why != "" {
		t.Errorf("after the destroy: %s", why)
	}
}

// TestACreateWaitsForARemoval has a removal that
// ends after two creates came that need the image.
func TestACreateWaitsForARemoval(t *testing.T) {
	begun, proceed, over := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	imgs := images{remove: func() {
		close(begun)
		<-proceed
	}}
	waiting := make(chan struct{}, 2)
	h := open(t, t.TempDir(), imgs, nil, func(e operation.Entry) {
		if e.Step == "image" && e.Event == "begin" {
			waiting <- struct{}{}
		}
	})
	go func() {
		_, err := h.CollectImages(t.Context(), api.ImageGCParams{All: true})
		over <- err
	}()
	<-begun
	if why := h.why(t); why != "another image gc" {
		t.Errorf("what a second collection says: %q", why)
	}
	var ops []api.Operation
	for _, name := range []string{"impatient", "patient"} {
		op, err := h.Create(t.Context(), api.CreateParams{Name: name, Image: "trial"})
		if err != nil {
			t.Fatal(err)
		}
		<-waiting
		ops = append(ops, op)
	}
	if err := h.Cancel(ops[0].ID); err != nil {
		t.Fatal(err)
	}
	if op := h.do(t, ops[0], nil); op.State != api.OpCancelled {
		t.Errorf("cancelled: %+v", op)
	}
	if op, err := h.Operation(ops[1].ID); err != nil || op.State != api.OpRunning || op.Step != "image" {
		t.Errorf("it does not wait: %+v, %v", op, err)
	}
	close(proceed)
	if err := <-over; err != nil {
		t.Error(err)
	}
	h.succeed(t, ops[1], nil)
}

func TestImageBuildsExcludeNobody(t *testing.T) {
	proceed := make(chan struct{})
	imgs := images{ensure: func(ctx context.Context, report progress.Reporter) error {
		report.Report(progress.Update{Message: "building x (1/2)", Current: 1, Total: 2})
		select {
		case <-proceed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	h := open(t, t.TempDir(), imgs, nil, nil)
	var mu sync.Mutex
	var changes []Change
	defer h.Watch(func(c Change) {
		mu.Lock()
		defer mu.Unlock()
		changes = append(changes, c)
	})()
	begin := func() api.Operation {
		t.Helper()
		op, err := h.BuildImage(t.Context(), api.ImageBuildParams{Image: "trial", Profiles: []string{"dev"}, Work: api.Work{Client: "a test"}})
		if err != nil {
			t.Fatal(err)
		}
		return op
	}
	first, second, third := begin(), begin(), begin()
	if first.Machine != "" || first.Subject() != "img1" || !h.Busy() {
		t.Errorf("begun: %+v", first)
	}
	if err := h.Cancel(third.ID); err != nil {
		t.Fatal(err)
	}
	if op := h.do(t, third, nil); op.State != api.OpCancelled || !strings.Contains(op.Problem.Message, "img1") {
		t.Errorf("cancelled: %+v", op)
	}
	close(proceed)
	for _, op := range []api.Operation{first, second} {
		if op = h.succeed(t, op, nil); op.Image != "img1" {
			t.Errorf("ended: %+v", op)
		}
	}
	if h.Busy() {
		t.Error("it is busy when all have ended")
	}
	mu.Lock()
	defer mu.Unlock()
	for _, c := range changes {
		if c.Operation == nil && c.Log == nil {
			t.Errorf("a build tells of a machine: %+v", c)
		}
	}
}

func TestABuildLeavesTheSSHConfigurationAlone(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	before, err := os.Stat(h.SSHConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	// What has been changed by hand is what an apply would put right.
	if err := os.WriteFile(h.SSHConfigFile(), []byte("# by hand\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	op, err := h.BuildImage(t.Context(), api.ImageBuildParams{Image: "trial"})
	h.succeed(t, op, err)
	after, err := os.Stat(h.SSHConfigFile())
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("it was written again, %v", err)
	}
}

func TestABuildGoesOnInTheNextDaemon(t *testing.T) {
	home := t.TempDir()
	begun := make(chan struct{})
	h, err := openHouse(home, images{ensure: func(ctx context.Context, _ progress.Reporter) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	op, err := h.BuildImage(t.Context(), api.ImageBuildParams{Image: "trial"})
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	next := open(t, home, images{}, nil, nil)
	if op = next.succeed(t, op, nil); op.Kind != api.KindBuildImage || op.Image != "img1" {
		t.Errorf("ended: %+v", op)
	}
}

func TestWhatIsNoImageToBuildIsRefused(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	for _, tt := range []struct {
		req  api.ImageBuildParams
		want problem.Code
	}{
		{api.ImageBuildParams{Image: "trial", Profiles: []string{"unknown"}}, problem.ProfileUnknown},
		{api.ImageBuildParams{Image: "trial", Mode: "liquid"}, problem.ModeUnsupported},
		{api.ImageBuildParams{Image: "/srv/disk.qcow2"}, problem.BadParams},
	} {
		_, err := h.BuildImage(t.Context(), tt.req)
		wantProblem(t, err, tt.want)
	}
	op, err := h.BuildImage(t.Context(), api.ImageBuildParams{})
	if op = h.succeed(t, op, err); len(op.Warnings) != 1 || !strings.Contains(op.Warnings[0], "trial guest") {
		t.Errorf("the stand-in for NixOS is not told: %q", op.Warnings)
	}
}

// copying is a backend whose host has copies of images.
type copying struct {
	backends.Backend
	asked []string
	down  error
}

func (c *copying) Unwrap() backends.Backend { return c.Backend }

func (c *copying) PrepareImage(context.Context, backends.Image, progress.Reporter) error { return nil }

func (c *copying) CollectImages(_ context.Context, claim func(id string) (string, func(), error), _ bool) ([]backends.ImageCopy, error) {
	var all []backends.ImageCopy
	for _, id := range []string{"img1", "theirs"} {
		why, release, err := claim(id)
		if err != nil {
			return nil, err
		}
		if why == "" {
			release()
		}
		c.asked = append(c.asked, id)
		all = append(all, backends.ImageCopy{ID: id, Bytes: 2, Kept: why})
	}
	return all, c.down
}

func TestCopiesOnAHostAreCollectedAfterTheImagesHere(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	host := &copying{Backend: h.fake}
	h.backends["test"] = host
	says := func(want string) {
		t.Helper()
		c, err := h.CollectImages(t.Context(), api.ImageGCParams{})
		var got []string
		for _, i := range c.Images {
			got = append(got, i.ID+"@"+i.Backend+" "+i.Kept)
		}
		if err != nil || strings.Join(append(got, c.Warnings...), ", ") != want {
			t.Errorf("got %s, want %s (%v)", strings.Join(append(got, c.Warnings...), ", "), want, err)
		}
	}
	says("img1@ , img1@test , theirs@test ")
	h.create(t, "demo")
	says("img1@ demo, img1@test used by demo, theirs@test ")
	host.down = problem.New(problem.BackendUnreachable, "it is away")
	says("img1@ demo, img1@test used by demo, theirs@test , backend test: it is away")
	if len(h.removing) != 0 {
		t.Errorf("claimed and not given back: %v", h.removing)
	}
}
