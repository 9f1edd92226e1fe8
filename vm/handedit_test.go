package vm

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/machine"
)

// soon notices edited files without waiting for more of them.
func soon(o *Options) { o.editQuiet = time.Millisecond }

// A file that is edited by hand is treated as configure treats the same change: a running
// guest of contract 2 gets it at once.
func TestWhatIsEditedByHandIsAppliedToTheRunningGuest(t *testing.T) {
	h := open(t, t.TempDir(), applies, nil, nil, soon)
	h.create(t, "demo")
	h.setting(t, "demo", machine.HostsFile, "192.0.2.9 nine\n")
	h.until(t, "demo", "its medium has the new hosts", func(v VM) bool {
		return v.Operation == nil && len(v.NextStart) == 0 && strings.Contains(h.medium(t, "demo"), "192.0.2.9 nine")
	})
	var applied []api.Operation
	for _, op := range h.Operations() {
		if op.Kind == api.KindApply {
			applied = append(applied, op)
		}
	}
	if len(applied) != 1 || applied[0].State != api.OpSucceeded || applied[0].Client != editClient {
		t.Errorf("operations: %+v", applied)
	}
}

// What the guest refuses of an edit waits for the next start, as after configure.
func TestWhatTheGuestRefusesOfAnEditWaits(t *testing.T) {
	h := open(t, t.TempDir(), applies, func(method, _ string) error {
		if method == "renew" {
			return errors.New("a fault")
		}
		return nil
	}, nil, soon)
	h.create(t, "demo")
	h.setting(t, "demo", machine.HostsFile, "192.0.2.9 nine\n")
	h.until(t, "demo", "the refused change waits", func(v VM) bool {
		return v.Operation == nil && slices.Equal(v.NextStart, []string{"hosts"}) && slices.ContainsFunc(h.Operations(), func(op api.Operation) bool {
			return op.Kind == api.KindApply && op.State == api.OpFailed
		})
	})
}

// A setting that parses and that the VM cannot have is a problem of the machine as soon
// as it is saved, with its file; nothing of the edit reaches the guest until it is mended.
func TestAnEditThatAVMCannotHaveIsAProblem(t *testing.T) {
	h := open(t, t.TempDir(), applies, nil, nil, soon)
	h.create(t, "demo")
	for file, c := range map[string]struct{ text, says string }{
		machine.VCPUsFile:    {"300\n", "255"},
		machine.ProfileFile:  {"core,unknown\n", "there is no profile"},
		machine.DiskSizeFile: {"1G\n", "cannot shrink to 1G"},
		machine.MutableFile:  {"semi\n", "no image is semi-mutable here"},
		machine.NetworkFile:  {"bridge:br7\n", "cannot attach VMs to a bridge"},
	} {
		dir := filepath.Join(h.layout.Machines(), "demo")
		h.setting(t, "demo", file, c.text)
		h.until(t, "demo", file+" is named", func(v VM) bool {
			return v.Problem != nil && strings.HasPrefix(v.Problem.Message, filepath.Join(dir, file)+": ") && strings.Contains(v.Problem.Message, c.says) && v.Problem.Hint != ""
		})
		if v, _ := h.Get("demo"); v.State != backends.Running {
			t.Errorf("%s: the VM is %s: %v", file, v.State, v.Problem)
		}
		right := map[string]string{machine.ProfileFile: "core\n", machine.DiskSizeFile: "30G\n", machine.VCPUsFile: "2\n", machine.MutableFile: "false\n", machine.NetworkFile: "nat\n"}
		h.setting(t, "demo", file, right[file])
		h.until(t, "demo", file+" is mended", func(v VM) bool { return v.Problem == nil })
	}
	h.setting(t, "demo", machine.VCPUsFile, "300\n")
	h.until(t, "demo", "the problem is there", func(v VM) bool { return v.Problem != nil })
	if _, err := h.Configure(background, api.ConfigureParams{Name: "demo", VCPUs: new(4)}, "t"); err != nil {
		t.Fatal(err)
	}
	if v, _ := h.Get("demo"); v.Problem != nil {
		t.Errorf("configure has mended it, and it says %v", v.Problem)
	}
}
