package vm

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// What the host of the backend cannot give is refused where it is asked for, and
// named by its field; nothing is made or changed.
func TestMoreThanTheHostHasIsRefused(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	op, err := h.Stop(background, "demo", 0, "t")
	h.succeed(t, op, err)
	many, much := 900, 2<<20
	for what, c := range map[string]struct {
		draft Draft
		field string
		do    func() error
	}{
		"create": {
			Draft{Create: &api.CreateParams{Name: "big", Image: "trial", VCPUs: new(many)}},
			fieldVCPUs,
			func() error {
				_, err := h.Create(background, api.CreateParams{Name: "big", Image: "trial", VCPUs: new(many)})
				return err
			},
		},
		"create with memory": {
			Draft{Create: &api.CreateParams{Name: "big", Image: "trial", MemoryMiB: new(much)}},
			fieldMemory,
			func() error {
				_, err := h.Create(background, api.CreateParams{Name: "big", Image: "trial", MemoryMiB: new(much)})
				return err
			},
		},
		"configure": {
			Draft{Configure: &api.ConfigureParams{Name: "demo", VCPUs: &many}},
			fieldVCPUs,
			func() error {
				_, err := h.Configure(background, api.ConfigureParams{Name: "demo", VCPUs: &many}, "t")
				return err
			},
		},
		"configure memory": {
			Draft{Configure: &api.ConfigureParams{Name: "demo", MemoryMiB: &much}},
			fieldMemory,
			func() error {
				_, err := h.Configure(background, api.ConfigureParams{Name: "demo", MemoryMiB: &much}, "t")
				return err
			},
		},
		"clone": {
			Draft{Clone: &api.CloneParams{Name: "demo", NewName: "big", VCPUs: new(many)}},
			fieldVCPUs,
			func() error {
				_, err := h.Clone(background, api.CloneParams{Name: "demo", NewName: "big", VCPUs: new(many)})
				return err
			},
		},
		"clone with memory": {
			Draft{Clone: &api.CloneParams{Name: "demo", NewName: "big", MemoryMiB: new(much)}},
			fieldMemory,
			func() error {
				_, err := h.Clone(background, api.CloneParams{Name: "demo", NewName: "big", MemoryMiB: new(much)})
				return err
			},
		},
	} {
		if p := h.CheckDraft(background, c.draft)[c.field].Problem; p == nil || p.Code != problem.SizeInvalid || p.Hint == "" {
			t.Errorf("%s: the draft says %v", what, p)
		}
		if err := c.do(); !problem.HasCode(err, problem.SizeInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := os.Stat(filepath.Join(h.layout.Machines(), "big")); !os.IsNotExist(err) {
		t.Errorf("something of it is left: %v", err)
	}
	if v, err := h.Get("demo"); err != nil || v.VCPUs == many || v.MemoryMiB == much {
		t.Errorf("%+v, %v", v, err)
	}
}
