package vm

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends/statedisk/statedisktest"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

// templated makes a checkout of nixos-vm-template with machines, from paths below it to
// their content, and a disk of the machine demo, unless there is one.
func templated(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	all := map[string]string{
		"Justfile": "", ".env": "BACKEND=libvirt\nMACHINES_DIR=machines\n",
		"machines/demo/profile": "core,dev\n", "machines/demo/hostname": "demo\n", "machines/demo/machine-id": "bdd7459bfc9142e687b03acf402b666b\n",
		"machines/demo/uuid": "6f1c1f7e-1d2b-4c57-9a51-1b0d3a6c9e01\n", "machines/demo/mac-address": "52:54:00:12:34:56\n",
		"machines/demo/memory": "3000\n", "machines/demo/vcpus": "2\n", "machines/demo/var_size": "64M\n", "machines/demo/tcp_ports": "# ports\n22\n8080\n",
		"machines/demo/admin_authorized_keys": "# keys\n\n", "machines/demo/root_password_hash": "", "machines/demo/resolv.conf": "nameserver 1.1.1.1\n",
		"machines/demo/woodpecker.env": "not ours\n",
	}
	maps.Copy(all, files)
	for path, text := range all {
		path = filepath.Join(dir, path)
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		if err == nil {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	disk := filepath.Join(dir, "output/vms/demo/var.qcow2")
	if err := os.MkdirAll(filepath.Dir(disk), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(statedisktest.Make(t), disk); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAMachineOfTheTemplateIsTakenOverWithItsDisk(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	dir := templated(t, map[string]string{
		"machines/image-too/profile": "core", "machines/demo/image": "/etc/passwd", "machines/demo/remote_forwards": "22 127.0.0.1:22\n",
		"machines/Bad_Name/profile": "core", "machines/broken/profile": "core", "machines/broken/memory": "much\n",
		"machines/own/profile": "core,mutable", "output/vms/own/disk.qcow2": "x", "output/vms/Bad_Name/var.qcow2": "x", "output/vms/broken/var.qcow2": "x",
	})
	before := tree(t, dir)
	list, err := h.Adoptable(background, api.AdoptListParams{Directory: dir})
	if err != nil || !strings.Contains(list.Config, "qemu:///system") {
		t.Fatalf("%+v, %v", list, err)
	}
	for id, want := range map[string]problem.Code{
		"demo": "", "image-too": problem.VMNotFound, "Bad_Name": problem.MachineNameInvalid, "broken": problem.MachineInvalid, "own": problem.ModeUnsupported,
	} {
		at := slices.IndexFunc(list.Machines, func(a api.Adoptable) bool { return a.ID == id })
		if at < 0 {
			t.Fatalf("%s is not listed: %+v", id, list.Machines)
		}
		a := list.Machines[at]
		if a.Adopted || (a.Problem == nil) != (want == "") || a.Problem != nil && (a.Problem.Code != want || a.Problem.Hint == "") {
			t.Errorf("%s: %+v, %+v", id, a, a.Problem)
		}
		if id == "demo" && (a.DiskBytes != 128<<20 || a.Mode != "immutable" || !slices.Contains(a.Profiles, "dev")) {
			t.Errorf("%+v", a)
		}
		if id == "broken" && !strings.Contains(a.Problem.Message, "memory") {
			t.Errorf("%s", a.Problem.Message)
		}
	}

	op, err := h.Adopt(background, api.AdoptParams{Directory: dir, ID: "demo", Image: "trial"})
	h.succeed(t, op, err)
	m, err := h.machines.Read("demo")
	if err != nil || m.UUID != "6f1c1f7e-1d2b-4c57-9a51-1b0d3a6c9e01" || m.MAC != "52:54:00:12:34:56" || m.MemoryMiB != 3000 || m.Image != "trial" ||
		len(m.RemoteForwards) > 0 || m.DiskBytes != 128<<20 || !slices.Equal(m.TCPPorts, []uint16{22, 8080}) {
		t.Errorf("%+v, %v", m, err)
	}
	if v, err := h.Get("demo"); err != nil || !v.Ready {
		t.Errorf("%+v, %v", v, err)
	}
	if !strings.Contains(h.content(t, "demo"), "EFI PART") {
		t.Error("the VM has another disk")
	}
	if before != tree(t, dir) {
		t.Error("the checkout was changed")
	}
	list, err = h.Adoptable(background, api.AdoptListParams{Directory: dir})
	if at := slices.IndexFunc(list.Machines, func(a api.Adoptable) bool { return a.ID == "demo" }); err != nil || !list.Machines[at].Adopted {
		t.Errorf("%+v, %v", list, err)
	}

	// Once more: it is there; under another name it is another machine.
	_, err = h.Adopt(background, api.AdoptParams{Directory: dir, ID: "demo", Image: "trial"})
	wantProblem(t, err, problem.MachineExists)
	op, err = h.Adopt(background, api.AdoptParams{Directory: dir, ID: "demo", Name: "copy", Image: "trial", NoStart: true})
	h.succeed(t, op, err)
	if c, err := h.machines.Read("copy"); err != nil || c.UUID == m.UUID || c.MAC == m.MAC || c.Hostname != "copy" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestABadNameIsTakenOverUnderAnother(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	dir := templated(t, map[string]string{"machines/My_VM/profile": "core", "machines/My_VM/hostname": "my-vm"})
	if err := os.Rename(filepath.Join(dir, "output/vms/demo"), filepath.Join(dir, "output/vms/My_VM")); err != nil {
		t.Fatal(err)
	}
	_, err := h.Adopt(background, api.AdoptParams{Directory: dir, ID: "My_VM", Image: "trial"})
	wantProblem(t, err, problem.MachineNameInvalid)
	op, err := h.Adopt(background, api.AdoptParams{Directory: dir, ID: "My_VM", Name: "mine", Image: "trial"})
	h.succeed(t, op, err)
	if m, err := h.machines.Read("mine"); err != nil || m.Hostname != "mine" {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestATakeoverThatFailsLeavesNothing(t *testing.T) {
	var fault func(string, string) error
	h := open(t, t.TempDir(), images{}, func(method, name string) error {
		if fault != nil {
			return fault(method, name)
		}
		return nil
	}, nil)
	dir := templated(t, nil)
	before := tree(t, dir)
	for _, at := range []string{"import", "start"} {
		fault = func(method, _ string) error {
			if method == at {
				return problem.New(problem.DiskFull, "no space").WithHint("make room")
			}
			return nil
		}
		op, err := h.Adopt(background, api.AdoptParams{Directory: dir, ID: "demo", Image: "trial"})
		if op = h.do(t, op, err); op.State != api.OpFailed {
			t.Fatalf("%s: %+v", at, op)
		}
		if h.machines.Exists("demo") || h.recordOf("demo") != nil {
			t.Errorf("%s: something is left", at)
		}
	}
	fault = nil
	if before != tree(t, dir) {
		t.Error("the checkout was changed")
	}
	link := filepath.Join(dir, "machines/demo", machine.UserKeysFile)
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	_, err := h.Adopt(background, api.AdoptParams{Directory: dir, ID: "demo", Image: "trial"})
	wantProblem(t, err, problem.MachineInvalid)
	if !strings.Contains(err.Error(), link) {
		t.Errorf("%v does not name %s", err, link)
	}
	_, err = h.Adopt(background, api.AdoptParams{Directory: dir, ID: "none"})
	wantProblem(t, err, problem.BadParams)
	_, err = h.Adoptable(background, api.AdoptListParams{Directory: filepath.Join(dir, "none")})
	wantProblem(t, err, problem.BadParams)
}
