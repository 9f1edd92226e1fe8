package rpc_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/rpc"
)

func TestADraftIsCheckedAsItWasTyped(t *testing.T) {
	c, _ := connect(t, serve(t, newCore()), "test")
	got := call[rpc.DraftResult](t, c, rpc.MethodMachineCheck, rpc.DraftParams{Name: " new ", MemoryMiB: "4G", Profiles: []string{"claude"}})
	want := rpc.DraftResult{OK: true, Fields: map[string]rpc.DraftField{
		"name": {OK: true, Value: "new"}, "memoryMiB": {OK: true, Number: 4096}, "profiles": {OK: true, Values: []string{"claude"}, Choices: []string{"claude"}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatCannotBeReadOfADraftIsTheProblemOfItsField(t *testing.T) {
	c, _ := connect(t, serve(t, newCore()), "test")
	for what, d := range map[string]struct {
		draft       rpc.DraftParams
		field, says string
		code        problem.Code
	}{
		"no name":              {rpc.DraftParams{}, "name", "is required", problem.BadParams},
		"a name":               {rpc.DraftParams{Name: "../x"}, "name", "not a machine name", problem.MachineNameInvalid},
		"a bare number":        {rpc.DraftParams{Name: "a", MemoryMiB: "4"}, "memoryMiB", "128 MiB", problem.SizeInvalid},
		"no size":              {rpc.DraftParams{Name: "a", DiskBytes: "much"}, "diskBytes", "not a size", problem.SizeInvalid},
		"no number":            {rpc.DraftParams{Name: "a", VCPUs: "two"}, "vcpus", "two", problem.MachineInvalid},
		"two lines":            {rpc.DraftParams{Name: "a", Image: "/a\n/b"}, "image", "line ends", problem.BadParams},
		"two words":            {rpc.DraftParams{Name: "a", Profiles: []string{"a b"}}, "profiles", "one word", problem.BadParams},
		"no port":              {rpc.DraftParams{Name: "a", TCPPorts: []string{"80", "http"}}, "tcpPorts", "http", problem.BadParams},
		"no network":           {rpc.DraftParams{Name: "a", AllowedCIDRs: []string{"x"}}, "allowedCidrs", "network", problem.BadParams},
		"a field of another":   {rpc.DraftParams{Name: "a", Snapshot: "x"}, "snapshot", "not a field of create", problem.BadParams},
		"clone: no new name":   {rpc.DraftParams{For: "clone", Name: "a"}, "newName", "is required", problem.BadParams},
		"configure: no memory": {rpc.DraftParams{For: "configure", Name: "a", MemoryMiB: "0"}, "memoryMiB", "128 MiB", problem.SizeInvalid},
		"snapshot: no name":    {rpc.DraftParams{For: "snapshot", Name: "a"}, "snapshot", "is required", problem.BadParams},
		"forward: none":        {rpc.DraftParams{For: "forward", Name: "a"}, "forward", "is required", problem.BadParams},
		"image: two lines":     {rpc.DraftParams{For: "image", Mode: "a\nb"}, "mode", "line ends", problem.BadParams},
	} {
		t.Run(what, func(t *testing.T) {
			got := call[rpc.DraftResult](t, c, rpc.MethodMachineCheck, d.draft)
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

func TestOnlyAnUnknownKindOfDraftIsRefused(t *testing.T) {
	c, _ := connect(t, serve(t, newCore()), "test")
	err := c.Call(t.Context(), rpc.MethodMachineCheck, rpc.DraftParams{For: "wedding"}, nil)
	if !problem.HasCode(err, problem.BadParams) {
		t.Errorf("got %v", err)
	}
}
