package rpc_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func TestADraftIsCheckedAsItWasTyped(t *testing.T) {
	c, _ := connect(t, serve(t, newCore()), "test")
	got := call[api.DraftResult](t, c, api.MethodMachineCheck, api.DraftParams{Name: " new ", MemoryMiB: "4G", Profiles: []string{"claude"}})
	want := api.DraftResult{OK: true, Fields: map[string]api.DraftField{
		"name": {OK: true, Value: "new"}, "memoryMiB": {OK: true, Number: 4096}, "profiles": {OK: true, Values: []string{"claude"}, Choices: []string{"claude"}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatCannotBeReadOfADraftIsTheProblemOfItsField(t *testing.T) {
	c, _ := connect(t, serve(t, newCore()), "test")
	for what, d := range map[string]struct {
		draft       api.DraftParams
		field, says string
		code        problem.Code
	}{
		"no name":              {api.DraftParams{}, "name", "is required", problem.BadParams},
		"a name":               {api.DraftParams{Name: "../x"}, "name", "not a machine name", problem.MachineNameInvalid},
		"a bare number":        {api.DraftParams{Name: "a", MemoryMiB: "4"}, "memoryMiB", "128 MiB", problem.SizeInvalid},
		"no size":              {api.DraftParams{Name: "a", DiskBytes: "much"}, "diskBytes", "not a size", problem.SizeInvalid},
		"no number":            {api.DraftParams{Name: "a", VCPUs: "two"}, "vcpus", "two", problem.MachineInvalid},
		"two lines":            {api.DraftParams{Name: "a", Image: "/a\n/b"}, "image", "line breaks", problem.BadParams},
		"two words":            {api.DraftParams{Name: "a", Profiles: []string{"a b"}}, "profiles", "one word", problem.BadParams},
		"no port":              {api.DraftParams{Name: "a", TCPPorts: []string{"80", "http"}}, "tcpPorts", "http", problem.BadParams},
		"no network":           {api.DraftParams{Name: "a", AllowedCIDRs: []string{"x"}}, "allowedCidrs", "network", problem.BadParams},
		"a field of another":   {api.DraftParams{Name: "a", Snapshot: "x"}, "snapshot", "not a field of create", problem.BadParams},
		"clone: no new name":   {api.DraftParams{For: "clone", Name: "a"}, "newName", "is required", problem.BadParams},
		"configure: no memory": {api.DraftParams{For: "configure", Name: "a", MemoryMiB: "0"}, "memoryMiB", "128 MiB", problem.SizeInvalid},
		"snapshot: no name":    {api.DraftParams{For: "snapshot", Name: "a"}, "snapshot", "is required", problem.BadParams},
		"forward: none":        {api.DraftParams{For: "forward", Name: "a"}, "forward", "is required", problem.BadParams},
		"image: two lines":     {api.DraftParams{For: "image", Mode: "a\nb"}, "mode", "line breaks", problem.BadParams},
	} {
		t.Run(what, func(t *testing.T) {
			got := call[api.DraftResult](t, c, api.MethodMachineCheck, d.draft)
			f := got.Fields[d.field]
			if got.OK || f.OK || f.Problem == nil || f.Problem.Code != d.code || !strings.Contains(f.Problem.Message, d.says) {
				t.Errorf("%+v %v", f, f.Problem)
			}
			for field, f := range got.Fields {
				if field != d.field && !f.OK {
					t.Errorf("%s is wrong too: %v", field, f.Problem)
				}
			}
		})
	}
}

// An empty field is unset in a draft: no gateway has a word.
func TestADraftCanRemoveTheGateway(t *testing.T) {
	core := newCore("demo")
	c, _ := connect(t, serve(t, core), "test")
	for typed, want := range map[string]*string{"": nil, "none": new(""), "10.0.0.1": new("10.0.0.1")} {
		call[api.DraftResult](t, c, api.MethodMachineCheck, api.DraftParams{For: "configure", Name: "demo", StaticIP: "10.0.0.5/24", Gateway: typed, Mode: "mutable"})
		got := core.lastDraft().Configure
		if diff := cmp.Diff(want, got.Gateway); diff != "" {
			t.Errorf("%q (-want +got):\n%s", typed, diff)
		}
		if got.Mode == nil || *got.Mode != "mutable" {
			t.Errorf("the mode is %v", got.Mode)
		}
	}
}

func TestOnlyAnUnknownKindOfDraftIsRefused(t *testing.T) {
	c, _ := connect(t, serve(t, newCore()), "test")
	err := c.Call(t.Context(), api.MethodMachineCheck, api.DraftParams{For: "wedding"}, nil)
	if !problem.HasCode(err, problem.BadParams) {
		t.Errorf("got %v", err)
	}
}

func TestADraftCanAskForAName(t *testing.T) {
	c, _ := connect(t, serve(t, newCore("demo")), "test")
	for text, want := range map[string]string{"My Shop": "my-shop", "demo": "demo-2", "": ""} {
		if r := call[api.DraftResult](t, c, api.MethodMachineCheck, api.DraftParams{Suggest: text}); r.Suggestion != want {
			t.Errorf("%q: %q, want %q", text, r.Suggestion, want)
		}
	}
}
