package crashtest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/testproc"
	"github.com/nixvm/nixvm/nixbuild/trial/trialtest"
	"github.com/nixvm/nixvm/sshconfig"
	"github.com/nixvm/nixvm/vm"
)

// limit is for waits that end when the code is right: an emulated guest on a
// loaded machine may need minutes.
const limit = 5 * time.Minute

// house is one NIXVM_HOME.
type house struct {
	t    *testing.T
	home string
	kind *kind
}

func newHouse(t *testing.T, name string) *house {
	t.Helper()
	// Short, because sockets live below it.
	home, err := os.MkdirTemp("/tmp", "nixvm-crash-")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, home: home, kind: kindOf(name)}
	t.Setenv("NIXVM_HOME", home)
	t.Setenv("NIXVM_SSH_CONFIG", filepath.Join(home, "user_config"))
	t.Setenv("NIXVM_ACCEL", "tcg")
	trialtest.Seed(t, filepath.Join(home, "data", "images"), trialtest.Tiny(t))
	if text := h.kind.config(); text != "" {
		path := paths.Under(home).ConfigFile()
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600))
		if err != nil {
			t.Fatal(err)
		}
	}
	over, err := testproc.Guard(home)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer over()
		h.open(func(s *vm.Service) {
			for _, v := range s.List() {
				h.must(s, func(ctx context.Context, s *vm.Service) (api.Operation, error) {
					return s.Purge(ctx, v.Name, v.Name, "test")
				})
			}
		})
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	return h
}

// open runs do with a service, after the operations that it took up have ended.
func (h *house) open(do func(*vm.Service)) {
	h.t.Helper()
	s, err := h.kind.open(context.Background())
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			h.t.Error(err)
		}
	}()
	for _, op := range s.Operations() {
		h.ended(s, op.ID)
	}
	do(s)
}

// must runs an operation, which must not fail.
func (h *house) must(s *vm.Service, begin func(context.Context, *vm.Service) (api.Operation, error)) {
	h.t.Helper()
	op, err := begin(context.Background(), s)
	if err != nil {
		h.t.Fatal(err)
	}
	h.ended(s, op.ID)
}

// ended waits for an operation, which must not fail.
func (h *house) ended(s *vm.Service, id string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	op, err := s.Wait(ctx, id)
	if err != nil || op.State == api.OpFailed || op.State == api.OpUnresolved {
		h.t.Fatalf("%s: %s, %v, %v", op.Kind, op.State, op.Problem, err)
	}
}

// guest runs a command as user in the real guest of a machine, which is started if need be.
func (h *house) guest(s *vm.Service, name, command string) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	ep, err := s.Endpoint(ctx, api.EndpointParams{Host: name, Start: true})
	if err != nil {
		h.t.Fatal(err)
	}
	layout := paths.Under(h.home)
	key, err := os.ReadFile(filepath.Join(layout.Machines(), name, "ssh_host_ed25519_key.pub"))
	if err != nil {
		h.t.Fatal(err)
	}
	conf, err := sshconfig.Open(sshconfig.Options{Layout: layout, Executable: "/usr/bin/nixvmd"})
	if err != nil {
		h.t.Fatal(err)
	}
	signer, err := conf.Signer()
	if err != nil {
		h.t.Fatal(err)
	}
	client, err := sshconfig.Dial(ctx, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, ep.Network, ep.Address)
	}, "user", string(bytes.TrimSpace(key)), signer)
	if err != nil {
		h.t.Fatal(err)
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		h.t.Fatal(err)
	}
	defer session.Close()
	out, err := session.CombinedOutput(command)
	if err != nil {
		h.t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return strings.TrimSpace(string(out))
}

// state is what must be either as before the operation or as after it.
func (h *house) state(s *vm.Service) (v vm.VM, snapshots []string) {
	h.t.Helper()
	v, err := s.Get("demo")
	if err != nil {
		h.t.Fatal(err)
	}
	list, err := s.Snapshots(context.Background(), "demo")
	if err != nil {
		h.t.Fatal(err)
	}
	for _, sn := range list {
		snapshots = append(snapshots, sn.Name)
	}
	return v, snapshots
}

// nothing checks that no file, VM or line is left of demo.
func (h *house) nothing(s *vm.Service) {
	h.t.Helper()
	if _, err := s.Get("demo"); !problem.HasCode(err, problem.MachineNotFound) {
		h.t.Errorf("demo is still known: %v", err)
	}
	layout := paths.Under(h.home)
	for _, dir := range []string{layout.Machines(), layout.VMs(), layout.Records(), layout.Journal(), filepath.Join(layout.Runtime, "vm")} {
		if names := h.entries(dir); len(names) > 0 {
			h.t.Errorf("%s holds %v", dir, names)
		}
	}
	if text, err := os.ReadFile(filepath.Join(h.home, "user_config")); err == nil && bytes.Contains(text, []byte("Include")) {
		h.t.Errorf("the SSH configuration still has %q", text)
	}
	if left := h.left(); len(left) > 0 {
		h.t.Errorf("VMs are left: %v", left)
	}
}

// entries are the names in a directory; none when it is not there.
func (h *house) entries(dir string) []string {
	h.t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.t.Error(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// qemuOf finds the QEMU processes that work below a directory.
func qemuOf(t *testing.T, home string) []string {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range lines {
		line, err := os.ReadFile(path)
		program, _, _ := bytes.Cut(line, []byte{0})
		if err == nil && bytes.Contains(program, []byte("qemu-system")) && bytes.Contains(line, []byte(home+"/")) {
			found = append(found, path)
		}
	}
	return found
}
