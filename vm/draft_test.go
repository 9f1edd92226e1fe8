package vm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/nixbuild"
)

// wrongCreates are requests that create refuses for one field.
func wrongCreates() map[string]struct {
	req   api.CreateParams
	field string
} {
	on := true
	return map[string]struct {
		req   api.CreateParams
		field string
	}{
		"no name":                      {api.CreateParams{}, fieldName},
		"a name that is a path":        {api.CreateParams{Name: "../x"}, fieldName},
		"a name that is taken":         {api.CreateParams{Name: "demo"}, fieldName},
		"the name of an admin":         {api.CreateParams{Name: "demo-admin"}, fieldName},
		"a VM without a record":        {api.CreateParams{Name: "stray"}, fieldName},
		"a broken directory":           {api.CreateParams{Name: "broken"}, fieldName},
		"an unknown profile":           {api.CreateParams{Name: "new", Profiles: []string{"unknown"}}, fieldProfiles},
		"a profile that is a comment":  {api.CreateParams{Name: "new", Profiles: []string{"#dev"}}, fieldProfiles},
		"an unknown mode":              {api.CreateParams{Name: "new", Mode: "liquid"}, fieldMode},
		"a mode the image cannot have": {api.CreateParams{Name: "new", Mode: "semi-mutable"}, fieldMode},
		"an image that is not there":   {api.CreateParams{Name: "new", Image: "/nowhere.qcow2"}, fieldImage},
		"an URL without a checksum":    {api.CreateParams{Name: "new", Image: "https://example.org/a.qcow2"}, fieldImage},
		"an image that is no kind":     {api.CreateParams{Name: "new", Image: "nixos"}, fieldImage},
		"a relative image":             {api.CreateParams{Name: "new", Image: "x.qcow2"}, fieldImage},
		"too little memory":            {api.CreateParams{Name: "new", MemoryMiB: new(4)}, fieldMemory},
		"too many CPUs":                {api.CreateParams{Name: "new", VCPUs: new(5000)}, fieldVCPUs},
		"too small a disk":             {api.CreateParams{Name: "new", DiskBytes: new(int64(1 << 20))}, fieldDisk},
		"an unknown network":           {api.CreateParams{Name: "new", Network: "macvtap"}, fieldNetwork},
		"a bridge that is not there":   {api.CreateParams{Name: "new", Network: "bridge:br1"}, fieldNetwork},
		"an unknown backend":           {api.CreateParams{Name: "new", Backend: "moon"}, fieldBackend},
		"autostart where it cannot be": {api.CreateParams{Name: "new", Backend: "bridged", Autostart: &on}, fieldAutostart},
		"a key that is none":           {api.CreateParams{Name: "new", AuthorizedKeys: []string{"ssh-rsa x"}}, fieldAuthorizedKeys},
		"an address that is none":      {api.CreateParams{Name: "new", AllowedCIDRs: []string{"10.0.0.0/99"}}, fieldAllowedCIDRs},
		"port 0":                       {api.CreateParams{Name: "new", TCPPorts: []uint16{0}}, fieldTCPPorts},
		"a forward without a target":   {api.CreateParams{Name: "new", RemoteForwards: []string{"8080"}}, fieldRemoteForwards},
		"a forward of a low port":      {api.CreateParams{Name: "new", RemoteForwards: []string{"80 localhost:80"}}, fieldRemoteForwards},
		"two forwards of one port":     {api.CreateParams{Name: "new", RemoteForwards: []string{"8080 a:1", "8080 b:1"}}, fieldRemoteForwards},
	}
}

// draftHouse is a house with a machine, a directory that is broken, and a VM
// without a record.
func draftHouse(t *testing.T) house {
	t.Helper()
	known := nixbuild.Catalogue{{Name: "core", Images: []string{"trial"}}, {Name: "claude", Images: []string{"nixos", "trial"}}, {Name: "rust", Images: []string{"nixos"}}}
	h := open(t, t.TempDir(), images{known: known}, nil, nil)
	h.create(t, "demo")
	h.create(t, "stray")
	if err := h.inventory.RemoveRecord("stray"); err != nil {
		t.Fatal(err)
	}
	h.inventory.Reload("stray")
	h.mu.Lock()
	h.backends["bridged"] = bridged{h.fake}
	h.mu.Unlock()
	dir := filepath.Join(h.layout.Machines(), "broken")
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "memory"), []byte("much\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestWhatCreateRefusesIsFoundInTheDraft(t *testing.T) {
	h := draftHouse(t)
	for what, c := range wrongCreates() {
		t.Run(what, func(t *testing.T) {
			before := tree(t, h.layout.Machines())
			refused := createErr(h, c.req)
			if refused == nil {
				t.Fatal("create takes it")
			}
			for field, got := range h.CheckDraft(t.Context(), Draft{Create: &c.req}) {
				switch {
				case field == c.field && (got.Problem == nil || got.Problem.Code != problem.From(refused).Code || got.Problem.Message != problem.From(refused).Message):
					t.Errorf("create refuses %s with %q, the draft has %v", field, refused, got.Problem)
				case field != c.field && got.Problem != nil:
					t.Errorf("%s is refused too: %v", field, got.Problem)
				}
			}
			if diff := cmp.Diff(before, tree(t, h.layout.Machines())); diff != "" {
				t.Errorf("machines (-before +after):\n%s", diff)
			}
		})
	}
}

func TestADraftHasAllItsProblemsAtOnce(t *testing.T) {
	h := draftHouse(t)
	got := h.CheckDraft(t.Context(), Draft{Create: &api.CreateParams{
		Name: "demo-admin", Profiles: []string{"unknown"}, Mode: "semi-mutable", MemoryMiB: new(4), VCPUs: new(5000), DiskBytes: new(int64(1)), Network: "macvtap",
		Backend: "moon", AllowedCIDRs: []string{"x"}, RemoteForwards: []string{"80 a:1"}, AuthorizedKeys: []string{"none"},
	}})
	for _, field := range []string{
		fieldName, fieldProfiles, fieldMode, fieldMemory, fieldVCPUs, fieldDisk, fieldNetwork, fieldBackend, fieldAllowedCIDRs, fieldRemoteForwards, fieldAuthorizedKeys,
	} {
		if got[field].Problem == nil {
			t.Errorf("nothing is wrong with %s", field)
		}
	}
	if got[fieldImage].Problem != nil || got[fieldImage].Value != "trial" {
		t.Errorf("image: %+v", got[fieldImage])
	}
}

func TestADraftSaysWhatItsDefaultsComeTo(t *testing.T) {
	got := draftHouse(t).CheckDraft(t.Context(), Draft{Create: &api.CreateParams{Name: "new", MemoryMiB: new(4096)}})
	want := map[string]api.DraftField{
		fieldImage: {Value: "trial", Default: true, Choices: []string{"nixos", "trial"}, Note: fallbackWarning},
		// rust is of NixOS images, core is in each.
		fieldProfiles: {Default: true, Choices: []string{"claude"}},
		fieldMode:     {Value: "immutable", Default: true, Choices: []string{"immutable", "mutable"}},
		fieldMemory:   {Value: "4G", Number: 4096},
		fieldVCPUs:    {Value: "2", Number: 2, Default: true},
		fieldDisk:     {Value: "20G", Number: 20 << 30, Default: true},
		fieldNetwork:  {Value: "nat", Default: true},
		fieldTCPPorts: {Values: []string{"22"}, Default: true},
		fieldBackend:  {Value: "test", Default: true, Choices: []string{"bridged", "fixed", "other", "test"}},
	}
	for field, w := range want {
		w.OK = true
		if diff := cmp.Diff(w, got[field]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", field, diff)
		}
	}
}

func TestWhatOtherRequestsRefuseIsFoundInTheDraft(t *testing.T) {
	h := draftHouse(t)
	h.create(t, "running")
	op, err := h.Stop(t.Context(), "demo", 0, "")
	h.succeed(t, op, err)
	op, err = h.CreateSnapshot(t.Context(), "demo", "before", "", "")
	h.succeed(t, op, err)
	if _, err := h.AddForward(t.Context(), "demo", "8080 localhost:80"); err != nil {
		t.Fatal(err)
	}
	small, nowhere, bad := 4, "bridge:br9", int64(1)
	for what, c := range map[string]struct {
		draft Draft
		field string
	}{
		"clone: its own name":           {Draft{Clone: &api.CloneParams{Name: "demo", NewName: "demo"}}, fieldNewName},
		"clone: an admin's name":        {Draft{Clone: &api.CloneParams{Name: "demo", NewName: "running-admin"}}, fieldNewName},
		"clone: no source":              {Draft{Clone: &api.CloneParams{Name: "gone", NewName: "copy"}}, fieldName},
		"clone: an unknown snapshot":    {Draft{Clone: &api.CloneParams{Name: "demo", NewName: "copy", Snapshot: "never"}}, fieldSnapshot},
		"clone: a smaller disk":         {Draft{Clone: &api.CloneParams{Name: "demo", NewName: "copy", DiskBytes: new(int64(1 << 30))}}, fieldDisk},
		"clone: too little memory":      {Draft{Clone: &api.CloneParams{Name: "demo", NewName: "copy", MemoryMiB: new(4)}}, fieldMemory},
		"configure: too little memory":  {Draft{Configure: &api.ConfigureParams{Name: "demo", MemoryMiB: &small}}, fieldMemory},
		"configure: a smaller disk":     {Draft{Configure: &api.ConfigureParams{Name: "demo", DiskBytes: &bad}}, fieldDisk},
		"configure: a missing bridge":   {Draft{Configure: &api.ConfigureParams{Name: "demo", Network: &nowhere}}, fieldNetwork},
		"configure: an unknown profile": {Draft{Configure: &api.ConfigureParams{Name: "demo", Profiles: []string{"unknown"}}}, fieldProfiles},
		"configure: a low port":         {Draft{Configure: &api.ConfigureParams{Name: "demo", RemoteForwards: []string{"80 a:1"}}}, fieldRemoteForwards},
		"configure: no machine":         {Draft{Configure: &api.ConfigureParams{Name: "gone"}}, fieldName},
		"build: a file":                 {Draft{Build: &api.ImageBuildParams{Image: "/a"}}, fieldImage},
		"build: an unknown profile":     {Draft{Build: &api.ImageBuildParams{Profiles: []string{"unknown"}}}, fieldProfiles},
		"snapshot: a bad name":          {Draft{Snapshot: &SnapshotDraft{"demo", "a b"}}, fieldSnapshot},
		"snapshot: a taken name":        {Draft{Snapshot: &SnapshotDraft{"demo", "before"}}, fieldSnapshot},
		"forward: no target":            {Draft{Forward: &ForwardDraft{"demo", "8081"}}, fieldForward},
		"forward: a taken port":         {Draft{Forward: &ForwardDraft{"demo", "8080 a:1"}}, fieldForward},
		"forward: a low port":           {Draft{Forward: &ForwardDraft{"demo", "127.0.0.1:80 a:1"}}, fieldForward},
	} {
		t.Run(what, func(t *testing.T) {
			refused := problem.From(h.request(c.draft))
			got := h.CheckDraft(t.Context(), c.draft)[c.field].Problem
			if refused == nil || got == nil || refused.Code != got.Code {
				t.Errorf("the request is refused with %v, the draft has %v", refused, got)
			}
		})
	}
}

// request makes a request that is expected to be refused.
func (h house) request(d Draft) error {
	ctx := context.Background()
	var err error
	switch {
	case d.Clone != nil:
		_, err = h.Clone(ctx, *d.Clone)
	case d.Configure != nil:
		_, err = h.Configure(ctx, *d.Configure, "t")
	case d.Build != nil:
		_, err = h.BuildImage(ctx, *d.Build)
	case d.Snapshot != nil:
		_, err = h.CreateSnapshot(ctx, d.Snapshot.Name, d.Snapshot.Snapshot, "", "")
	case d.Forward != nil:
		_, err = h.AddForward(ctx, d.Forward.Name, d.Forward.Forward)
	}
	return err
}

func TestAGoodDraftHasNoProblem(t *testing.T) {
	h := draftHouse(t)
	op, err := h.Stop(t.Context(), "demo", 0, "")
	h.succeed(t, op, err)
	op, err = h.CreateSnapshot(t.Context(), "demo", "before", "", "")
	h.succeed(t, op, err)
	memory := 512
	for what, d := range map[string]Draft{
		"create":    {Create: &api.CreateParams{Name: "new"}},
		"clone":     {Clone: &api.CloneParams{Name: "demo", NewName: "copy", Snapshot: "before"}},
		"configure": {Configure: &api.ConfigureParams{Name: "demo", MemoryMiB: &memory}},
		"image":     {Build: &api.ImageBuildParams{}},
		"snapshot":  {Snapshot: &SnapshotDraft{"demo", "after"}},
		"forward":   {Forward: &ForwardDraft{"demo", "8080 localhost:80"}},
	} {
		for field, got := range h.CheckDraft(t.Context(), d) {
			if got.Problem != nil {
				t.Errorf("%s: %s: %v", what, field, got.Problem)
			}
			if !slices.Contains(api.DraftFields(what), field) {
				t.Errorf("%s: %s cannot be in a draft", what, field)
			}
			if what == "configure" && field == fieldVCPUs && (got.Number != 2 || !got.Default) {
				t.Errorf("what is not changed is %+v", got)
			}
			if what == "clone" && field == fieldSnapshot && !slices.Contains(got.Choices, "before") {
				t.Errorf("a clone can be made of %v", got.Choices)
			}
		}
	}
}
