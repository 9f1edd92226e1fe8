package vm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/fake"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/sshconfig"
)

// images is a store with one image, that takes as long as the test says.
type images struct {
	semi   bool // there are semi-mutable ones
	ensure func(ctx context.Context, report progress.Reporter) error
	remove func() // called while an unused image is claimed
	known  nixbuild.Catalogue

	contract int               // of the images; 0 = the oldest
	gone     string            // id of an image that was removed
	dirs     map[string]string // of images that do not have the usual one, by id
}

// testImages are the images that there can be, by a profile that leads to each: the
// guests of the last ones do not come up, and have a service that fails.
var testImages = map[string]string{"": "img1", "newer": "img2", "newest": "img3", "fourth": "img4", "dead": "imgdead", "sick": "imgsick"}

// imageFor is the image of these profiles.
func imageFor(profiles []string) nixbuild.Image {
	img := testImage()
	for _, p := range profiles {
		if id := testImages[p]; id != "" {
			img.ID = id
		}
	}
	return img
}

// testShell is the guest of an image; see fake.Config.Shell.
func testShell(layout paths.Layout) func(name, image, command string) (string, bool) {
	return func(name, image, command string) (string, bool) {
		if image == "imgdead" {
			return "", false
		}
		answer := ""
		if command == probe {
			for word, file := range map[string]string{"host": machine.HostnameFile, "id": machine.MachineIDFile} {
				content, _ := os.ReadFile(filepath.Join(layout.Machines(), name, file))
				answer += word + " " + string(content)
			}
			answer += "mount / ro,relatime\nmount /var rw\nsystem running\nfailed old.service\n"
		}
		if image == "imgsick" {
			answer += "failed new.service\n"
		}
		return answer + "failed old.service\n", true
	}
}

func testImage() nixbuild.Image {
	dir, err := filepath.Abs(filepath.Join("testdata", "image"))
	if err != nil {
		panic(err)
	}
	return nixbuild.Image{
		Contract: 1, ID: "img1", Distro: "debian", Mode: "immutable", Version: "1", Dir: dir,
		Disk: nixbuild.Disk{File: "disk.qcow2", Format: "qcow2"},
	}
}

func (i images) Get(id string) (nixbuild.Image, error) {
	if id == "" || id == i.gone || !slices.Contains(slices.Collect(maps.Values(testImages)), id) {
		return nixbuild.Image{}, problem.New(problem.ImageNotFound, "no image %s", id)
	}
	img := testImage()
	img.ID = id
	img.Contract = max(i.contract, img.Contract)
	if dir := i.dirs[id]; dir != "" {
		img.Dir = dir
	}
	return img, nil
}
func (i images) List() ([]nixbuild.Image, []error) { return []nixbuild.Image{testImage()}, nil }
func (i images) Ensure(ctx context.Context, req nixbuild.Request, report progress.Reporter) (nixbuild.Image, error) {
	if i.ensure != nil {
		if err := i.ensure(ctx, report); err != nil {
			return nixbuild.Image{}, err
		}
	}
	return imageFor(req.Profiles), nil
}

func (i images) Import(context.Context, string, string, progress.Reporter) (nixbuild.Image, error) {
	return testImage(), nil
}
func (i images) Profiles() nixbuild.Catalogue { return i.known }
func (i images) Notes() []string              { return nil }
func (i images) Size(string) int64            { return 1 }
func (i images) CheckRequest(r nixbuild.Request) (string, error) {
	for _, p := range r.Profiles {
		if p == "unknown" {
			return "", problem.New(problem.ProfileUnknown, "there is no profile %q", p).WithHint("there are: dev")
		}
	}
	if r.Mode == "semi-mutable" && !i.semi {
		return "", problem.New(problem.ModeUnsupported, "no image is semi-mutable here").WithHint("use another mode")
	}
	if r.Kind != "trial" {
		return "", problem.New(problem.ImageUnsupported, "there are no images of the kind %s", r.Kind).WithHint("use trial")
	}
	return imageFor(r.Profiles).ID, nil
}

func (i images) Collect(_ context.Context, rules nixbuild.Rules) ([]nixbuild.Collected, []error) {
	user, release, err := rules.Claim("img1")
	if err != nil {
		return nil, []error{err}
	}
	if user == "" {
		if i.remove != nil && !rules.DryRun {
			i.remove()
		}
		release()
	}
	return []nixbuild.Collected{{ID: "img1", Bytes: 1, Kept: user}}, nil
}
func (i images) CanBuild(kind string) bool { return kind == "trial" }
func (i images) Missing() []*problem.Error { return nil }

// house is a service over a fake backend, below one directory.
type house struct {
	*Service
	fake   *fake.Backend // "test", the default
	other  *fake.Backend // guests can move there
	layout paths.Layout
}

// open opens the service of a directory; fault and hook may be nil.
func open(t testing.TB, home string, imgs images, fault func(method, name string) error, hook func(operation.Entry), change ...func(*Options)) house {
	t.Helper()
	h, err := openHouse(home, imgs, fault, hook, change...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return h
}

func openHouse(home string, imgs images, fault func(method, name string) error, hook func(operation.Entry), change ...func(*Options)) (house, error) {
	return openHouseLosing(home, imgs, fault, nil, hook, change...)
}

// openHouseLosing is openHouse with backends whose answers may be lost.
func openHouseLosing(home string, imgs images, fault, lost func(method, name string) error, hook func(operation.Entry), change ...func(*Options)) (house, error) {
	layout := paths.Under(home)
	layout.Runtime = filepath.Join(home, "r") // the test's name is in the path already, and control sockets have 90 bytes
	if err := layout.Ensure(); err != nil {
		return house{}, err
	}
	store, err := machine.OpenStore(layout.Machines())
	if err != nil {
		return house{}, err
	}
	conf, err := sshconfig.Open(sshconfig.Options{Layout: layout, UserConfig: filepath.Join(home, "user_config"), Executable: "/usr/bin/nixvmd"})
	if err != nil {
		return house{}, err
	}
	remote := remoteIn(home)
	var list []backends.Backend
	config := Config{Backends: map[string]BackendConfig{}, DefaultBackend: "test"}
	for name, dir := range map[string]string{"test": "fake", "other": "other", "fixed": "fixed"} {
		dir = filepath.Join(home, dir)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return house{}, err
		}
		list = append(list, fake.New(fake.Config{Name: name, Dir: dir, Remote: remote, Fixed: name == "fixed", Fault: fault, Limit: backends.Limits{VCPUs: 255, MemoryMiB: 1 << 20}, Lost: lost, Shell: testShell(layout), Exec: hostShell, HostKey: fake.HostKeys(layout.Machines())}))
		config.Backends[name] = BackendConfig{Type: "fake"}
	}
	if err := config.complete("config.toml", nil, []backends.Driver{{Type: "fake", Configure: func(backends.Settings) (backends.Opener, error) { return nil, nil }}}); err != nil {
		return house{}, err
	}
	o := Options{
		Layout: layout, Config: config, Machines: store, Images: imgs, Backends: list, SSH: conf,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), journalHook: hook, editQuiet: time.Hour,
	}
	for _, c := range change {
		c(&o)
	}
	s, err := Open(context.Background(), o)
	h := house{Service: s, layout: layout}
	for _, b := range list {
		switch b := b.(*fake.Backend); b.Name() { //nolint:forcetypeassert // made above
		case "test":
			h.fake = b
		case "other":
			h.other = b
		}
	}
	return h, err
}

// report lets a backend report something that has not happened, and returns when the
// service has taken it over.
func (h house) report(t testing.TB, b *fake.Backend, e backends.Event) {
	t.Helper()
	b.Tell(e)
	h.taken(t, b)
}

// taken returns when the service has taken over all that a backend has reported.
func (h house) taken(t testing.TB, b *fake.Backend) {
	t.Helper()
	if err := h.inventory.Refresh(background, b, "nosuch"); err != nil {
		t.Fatal(err)
	}
}

// do waits for an operation and returns its value.
func (h house) do(t testing.TB, op api.Operation, err error) api.Operation {
	t.Helper()
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	op, err = h.Wait(ctx, op.ID)
	if err != nil {
		t.Fatalf("wait for %s: %v", op.Kind, err)
	}
	return op
}

// succeed is do for an operation that must succeed.
func (h house) succeed(t testing.TB, op api.Operation, err error) api.Operation {
	t.Helper()
	op = h.do(t, op, err)
	if op.State != api.OpSucceeded {
		t.Fatalf("%s of %s is %s: %v", op.Kind, op.Machine, op.State, op.Problem)
	}
	return op
}

func (h house) create(t testing.TB, name string) {
	t.Helper()
	op, err := h.Create(context.Background(), api.CreateParams{Name: name, Image: "trial"})
	h.succeed(t, op, err)
}

// tree lists what lies below a directory, with the digest of each file, without
// what may differ between two equal houses: sockets, locks and the client key.
func tree(t testing.TB, root string) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if strings.HasSuffix(rel, "lock") || strings.Contains(rel, "id_ed25519") {
			return nil
		}
		if d.IsDir() {
			lines = append(lines, rel+"/")
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		lines = append(lines, rel+" "+hex.EncodeToString(sum[:4]))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func wantProblem(t testing.TB, err error, code problem.Code) {
	t.Helper()
	if !problem.HasCode(err, code) {
		t.Fatalf("got %v, want a problem with code %s", err, code)
	}
	if p := problem.From(err); p.Hint == "" {
		t.Errorf("%s has no hint: %q", code, p.Message)
	}
}
