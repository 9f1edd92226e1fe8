package vm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/vm/inventory"
)

// editQuiet is how long machine directories have to be quiet before what was edited in
// them is judged, and given to running guests: an editor saves several files.
const editQuiet = time.Second

// editClient is the client of operations that an edited file begins.
const editClient = "edited files"

// takeEdited does for a machine whose files were edited by hand what a change by
// configure does: what its backend cannot give is a problem of the machine, and otherwise
// a running guest gets what it can take.
func (s *Service) takeEdited(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.check)
	defer cancel()
	if s.judgeEdited(ctx, name) == nil {
		s.begunToApply(ctx, name, editClient)
	}
}

// judgeEdited notes what a VM cannot have of the settings in its files, and returns it.
func (s *Service) judgeEdited(ctx context.Context, name string) *problem.Error {
	var found *problem.Error
	e, ok := s.inventory.Get(name)
	if ok && e.Machine != nil && e.Record != nil && e.Broken() == nil {
		found = s.misfit(ctx, e)
	}
	s.mu.Lock()
	before := s.misfits[name]
	if found == nil {
		delete(s.misfits, name)
	} else {
		s.misfits[name] = found
	}
	s.mu.Unlock()
	if (before == nil) != (found == nil) || found != nil && before.Message != found.Message {
		s.publishVM(name)
	}
	return found
}

// judgeAgain judges the settings of a machine again that has one which its VM cannot have.
func (s *Service) judgeAgain(ctx context.Context, name string) {
	s.mu.Lock()
	had := s.misfits[name] != nil
	s.mu.Unlock()
	if had {
		_ = s.judgeEdited(ctx, name) // noted
	}
}

// misfit is the first setting that configure would refuse; nil for none. A backend that
// cannot be asked now refuses nothing.
func (s *Service) misfit(ctx context.Context, e *inventory.Entry) *problem.Error {
	m := *e.Machine
	b := s.backends[e.Record.Backend]
	if b == nil {
		return nil // that is shown elsewhere
	}
	wrong := &fieldErrors{}
	checkResources(ctx, b, m.VCPUs, m.MemoryMiB, wrong)
	wrong.add(fieldNetwork, checkBridge(ctx, b, networkOn(b, m.Network)))
	wrong.add(fieldStaticIP, checkAddress(ctx, b, m, machine.Changes{StaticIP: m.StaticIP}))
	wrong.add(fieldAutostart, checkAutostart(b, m.Autostart))
	if has, ok := e.Resources(); ok && m.DiskBytes < has.DiskBytes {
		wrong.add(fieldDisk, problem.New(problem.SizeInvalid, "the disk has %s and cannot shrink to %s", machine.FormatSize(has.DiskBytes), machine.FormatSize(m.DiskBytes)).
			WithHint("write a larger size"))
	}
	if !isFile(m.Image) {
		_, err := s.images.CheckRequest(imageRequest(cmp.Or(m.Image, e.Record.Image.Kind), m.Mode, m.Profiles))
		if problem.HasCode(err, problem.ProfileUnknown) || problem.HasCode(err, problem.ProfileConflict) || problem.HasCode(err, problem.ModeUnsupported) {
			wrong.addImage(err)
		}
	}
	for _, w := range wrong.list {
		if ctx.Err() == nil && !problem.HasCode(w.err, problem.BackendUnreachable) && !errors.Is(w.err, context.DeadlineExceeded) {
			p := problem.From(w.err)
			return problem.New(p.Code, "%s: %w", filepath.Join(s.machines.Dir(e.Name), fileOfField[w.field]), w.err).WithHint("%s", p.Hint)
		}
	}
	return nil
}

// fileOfField is the file of a setting that misfit refuses.
var fileOfField = map[string]string{
	fieldVCPUs: machine.VCPUsFile, fieldMemory: machine.MemoryFile, fieldNetwork: machine.NetworkFile, fieldStaticIP: machine.StaticIPFile,
	fieldAutostart: machine.AutostartFile, fieldDisk: machine.DiskSizeFile, fieldProfiles: machine.ProfileFile, fieldMode: machine.MutableFile,
	fieldImage: machine.ImageFile,
}

// settingsSeen tells whether the files of a machine have been edited between two of its
// entries: what nixvm itself changes is in the inventory before it is noticed here.
func settingsSeen(e *inventory.Entry) string {
	if e == nil || e.Machine == nil {
		return ""
	}
	m := e.Machine
	return fmt.Sprint(e.Identity, inventory.ResourcesOf(*m), m.Profiles, m.Mode, m.Image, m.Autostart, m.PCIDevices)
}
