package vm

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/vm/inventory"
)

// checkResources refuses what the host of the backend cannot give; 0 is not looked at.
func checkResources(ctx context.Context, b backends.Backend, vcpus, memoryMiB int, wrong *fieldErrors) {
	host, ok := backends.As[backends.LimitedHost](b)
	if !ok || vcpus == 0 && memoryMiB == 0 {
		return
	}
	limits := host.Limits(ctx)
	if !wrong.has(fieldVCPUs) {
		wrong.add(fieldVCPUs, limits.CheckVCPUs(vcpus))
	}
	if !wrong.has(fieldMemory) {
		wrong.add(fieldMemory, limits.CheckMemory(memoryMiB))
	}
}

// checkBridge refuses a bridge that the backend cannot use, or has not.
func checkBridge(ctx context.Context, b backends.Backend, n machine.Network) error {
	if n.Kind != "bridge" {
		return nil
	}
	host, ok := backends.As[backends.BridgeHost](b)
	if !ok {
		return problem.New(problem.Unsupported, "backend %s cannot attach VMs to a bridge here", b.Name()).
			WithHint("use --network nat, or see nixvmd doctor")
	}
	return host.CheckBridge(ctx, n.Bridge)
}

// checkPlace refuses a backend that cannot make the VM, or has one of that name;
// field is the one whose fault that is.
func checkPlace(ctx context.Context, b backends.Backend, name string) (field string, err error) {
	// Before the check: a backend that cannot be reached now is not one that is missing.
	st, err := b.Status(ctx, backends.Named(name)) // whichever VM that is
	if err != nil {
		return fieldBackend, fmt.Errorf("backend %s: %w", b.Name(), err)
	}
	if c, ok := backends.As[backends.CreateChecker](b); ok {
		for _, f := range c.CheckCreate(ctx) {
			if f.Severity == backends.Fatal {
				return fieldBackend, problem.New(problem.BackendMissing, "backend %s cannot be used: %s", b.Name(), f.Message).WithHint("%s", f.Fix)
			}
		}
	}
	if st.State != backends.Absent {
		return fieldName, problem.New(problem.VMExists, "backend %s has a VM named %s without a record: it is %s", b.Name(), name, st.State).
			WithHint("remove it: nixvmd destroy %s --confirm %s", name, name)
	}
	return fieldNone, nil
}

// chooseImage takes the trial guest where NixOS was not asked for by name and
// cannot be built on this machine; the operation then says so.
func (s *Service) chooseImage(asked string) (kind string, fallback bool) {
	if asked != "" {
		return asked, false
	}
	if s.images.CanBuild("nixos") {
		return "nixos", false
	}
	return "trial", true
}

// checkImage finds what the image cannot be or have. It returns the id of one
// that is built.
func (s *Service) checkImage(req nixbuild.Request, wrong *fieldErrors) (id string) {
	if wrong.has(fieldImage) {
		return ""
	}
	if isFile(req.Kind) {
		wrong.addImage(nixbuild.CheckSource(req.Kind, req.Mode))
		return ""
	}
	id, err := s.images.CheckRequest(req)
	if err == nil {
		return id
	}
	wrong.addImage(err)
	// There may be more: each by itself.
	for _, alone := range []nixbuild.Request{{Kind: req.Kind, Profiles: req.Profiles}, {Kind: req.Kind, Mode: req.Mode}} {
		_, err = s.images.CheckRequest(alone)
		wrong.addImage(err)
	}
	return ""
}

// imageMissing says how a VM gets an image back that is gone or damaged. Its
// disks are in order.
func (s *Service) imageMissing(m machine.Machine, r *inventory.Record, err error) error {
	code := problem.From(err).Code
	if code != problem.ImageNotFound && code != problem.ImageCorrupt {
		return fmt.Errorf("image of %s: %w", m.Name, err)
	}
	p := problem.New(code, "the image of %s cannot be used: %w", m.Name, err)
	if isFile(r.Image.Kind) {
		return p.WithHint("the disk of %s is kept; import the image again: nixvmd create OTHER --image %s --no-start", m.Name, r.Image.Kind)
	}
	words := append([]string{"core"}, m.Profiles...)
	if id, err := s.images.CheckRequest(imageRequest(r.Image.Kind, r.ModeOf(m), m.Profiles)); err == nil && id != r.Image.ID {
		return p.WithHint("the disk of %s is kept; restore the directory %s: a build today would give another image", m.Name, filepath.Join(s.layout.Images(), r.Image.ID))
	}
	return p.WithHint("the disk of %s is kept; rebuild the image: nixvmd build %s --image %s --mode %s",
		m.Name, strings.Join(words, ","), r.Image.Kind, r.ModeOf(m))
}
