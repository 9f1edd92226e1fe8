package vm

import (
	"slices"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func TestACloneHasItsOwnNetworkProfilesAndMode(t *testing.T) {
	h := open(t, t.TempDir(), images{semi: true}, nil, nil)
	h.create(t, "demo")
	op, err := h.Stop(background, "demo", 0, "t")
	h.succeed(t, op, err)
	for field, req := range map[string]api.CloneParams{
		"network":  {Network: "wifi"},
		"bridge":   {Network: "bridge:br0"}, // the backend has none
		"profiles": {Profiles: []string{"unknown"}},
		"mode":     {Mode: "rigid"},
	} {
		req.Name, req.NewName = "demo", "copy"
		if _, err := h.Clone(background, req); err == nil || problem.From(err).Code == problem.Internal {
			t.Errorf("%s: %v", field, err)
		}
	}
	if list := h.List(); len(list) != 1 {
		t.Errorf("left behind: %+v", list)
	}
	op, err = h.Clone(background, api.CloneParams{Name: "demo", NewName: "copy", Network: "nat", Profiles: []string{"newer"}, Mode: "semi-mutable"})
	h.succeed(t, op, err)
	v, err := h.Get("copy")
	if err != nil || v.Network != "nat" || !slices.Equal(v.Profiles, []string{"newer"}) || v.Mode != "semi-mutable" || v.VMMode != "immutable" ||
		!slices.Equal(v.Pending, []string{"profiles", "mode"}) {
		t.Errorf("the copy is %+v, %v", v, err)
	}
	if v, err := h.Get("demo"); err != nil || v.Mode != "immutable" || len(v.Pending) > 0 {
		t.Errorf("the source is %+v, %v", v, err)
	}
	op, err = h.Upgrade(background, api.UpgradeParams{Name: "copy"})
	h.succeed(t, op, err)
	if v, err := h.Get("copy"); err != nil || len(v.Pending) > 0 || v.VMMode != "" {
		t.Errorf("upgraded, the copy is %+v, %v", v, err)
	}
}
