package vm

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// userConfig gives the user of a house an SSH configuration.
func userConfig(t *testing.T, home, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(home, "user_config"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Before anything is made.
func TestForwardForEveryHostStopsCreate(t *testing.T) {
	home := t.TempDir()
	userConfig(t, home, "Host *\n  RemoteForward /tmp/s /run/secret.sock\n")
	h := open(t, home, images{}, nil, nil)
	before := tree(t, home)
	_, err := h.Create(background, api.CreateParams{Name: "demo", Image: "trial"})
	p := problem.From(err)
	if p == nil || p.Code != problem.SSHInherited || !strings.Contains(p.Message, "user_config:2") {
		t.Fatalf("create: %v", err)
	}
	if after := tree(t, home); after != before {
		t.Errorf("something was made:\n%s", after)
	}
}

func TestCreateAndDoctorNameWhatReachesTheGuest(t *testing.T) {
	home := t.TempDir()
	userConfig(t, home, "Host *\n  SendEnv AWS_*\n")
	h := open(t, home, images{}, nil, nil)
	op, err := h.Create(background, api.CreateParams{Name: "demo", Image: "trial"})
	op = h.succeed(t, op, err)
	if len(op.Warnings) != 1 || !strings.Contains(op.Warnings[0], "SendEnv AWS_*") || !strings.Contains(op.Warnings[0], "user_config:4") {
		t.Errorf("create says %q", op.Warnings)
	}
	named := func(words string, severity backends.Severity) bool {
		return slices.ContainsFunc(h.Doctor(background), func(f api.Finding) bool {
			return f.Area == "ssh" && f.Severity == severity && strings.Contains(f.Message, words)
		})
	}
	if !named("SendEnv AWS_*", backends.Info) || !named("ssh accepts", backends.Info) {
		t.Errorf("doctor says %+v", h.Doctor(background))
	}
	// Later: it takes nothing away, and is named.
	content, err := os.ReadFile(filepath.Join(home, "user_config"))
	if err != nil {
		t.Fatal(err)
	}
	userConfig(t, home, string(content)+"  DynamicForward 1080\n")
	if !named("DynamicForward 1080", backends.Warning) {
		t.Errorf("doctor says %+v", h.Doctor(background))
	}
	if _, err := h.AddForward(background, "demo", "8080 localhost:80"); err != nil {
		t.Errorf("a machine that is there already: %v", err)
	}
}

func TestApplyIsNotVerifiedWhereSSHDoesNotReadIt(t *testing.T) {
	home := t.TempDir()
	userConfig(t, home, "Host *\n  User me\n")
	if err := os.Chmod(filepath.Join(home, "user_config"), 0o400); err != nil {
		t.Fatal(err)
	}
	h := open(t, home, images{}, nil, nil)
	op, err := h.Create(background, api.CreateParams{Name: "demo", Image: "trial"})
	op = h.succeed(t, op, err)
	if len(op.Warnings) != 1 || !strings.Contains(op.Warnings[0], "read-only") || !strings.Contains(op.Warnings[0], "Include ") {
		t.Errorf("create says %q", op.Warnings)
	}
	warnings, verified, err := h.SSHApply(background)
	if err != nil || verified || len(warnings) != 1 {
		t.Errorf("verified %v, %q, %v", verified, warnings, err)
	}
	if err := os.Chmod(filepath.Join(home, "user_config"), 0o600); err != nil {
		t.Fatal(err)
	}
	if warnings, verified, err = h.SSHApply(background); err != nil || !verified || len(warnings) != 0 {
		t.Errorf("mended: verified %v, %q, %v", verified, warnings, err)
	}
}

// The test plays a master: it has the control socket, and a port beside it.
func TestPortOnASharedConnectionIsSeen(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	control, err := net.Listen("unix", h.layout.ControlSocket("demo", "root"))
	if err != nil {
		t.Fatal(err)
	}
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	want := api.OpenedPort{Listen: port.Addr().String(), Account: "root"}
	if got := h.OpenedPorts(background, "demo"); !slices.Contains(got, want) {
		t.Errorf("%+v, want %+v among them", got, want)
	}
	if !slices.ContainsFunc(h.Doctor(background), func(f api.Finding) bool {
		return strings.Contains(f.Message, want.Listen+" leads into demo") && strings.HasSuffix(f.Fix, "root@demo")
	}) {
		t.Error("doctor does not name it")
	}
	_ = control.Close()
	_ = port.Close()
	if got := h.OpenedPorts(background, "demo"); len(got) != 0 {
		t.Errorf("without a master: %+v", got)
	}
}
