package story

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/nixvm/nixvm/backends/libvirt/libvirttest"
	"github.com/nixvm/nixvm/cmd/nixvmd/internal/scripttest"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/trial/trialtest"
)

// TestMigrateStory is about two hosts that are reached by ssh, left and right,
// with a cable and a pool between them. The libvirtd of left is also the backend lab,
// whose disks are files of this host.
func TestMigrateStory(t *testing.T) {
	image := trialtest.Tiny(t)
	hosts := map[string]*libvirttest.Host{"left": libvirttest.StartSharing(t), "right": libvirttest.StartSharing(t)}
	libvirttest.Cable(t, hosts["left"], "10.77.0.1/24", hosts["right"], "10.77.0.2/24")
	config := configOf(t, hosts, map[string]string{"left": "10.77.0.1", "right": "10.77.0.2"})
	config += fmt.Sprintf("[backends.lab]\ntype = \"libvirt\"\nuri = %q\n[backends.qemu]\ntype = \"qemu\"\n", hosts["left"].URI)
	p := scripttest.Params("testdata/migrate")
	operation := ""
	p.Cmds["virsh"] = virshOf(hosts)
	// begun: the id that was printed last is that of an operation.
	p.Cmds["begun"] = func(ts *testscript.TestScript, _ bool, _ []string) {
		operation = strings.TrimSpace(ts.ReadFile("stdout"))
	}
	// waitBegun waits for it, whichever daemon runs it now.
	p.Cmds["waitBegun"] = func(ts *testscript.TestScript, _ bool, _ []string) { ts.Check(ts.Exec("nixvmd", "wait", operation)) }
	setup := p.Setup
	p.Setup = func(env *testscript.Env) error {
		if err := setup(env); err != nil {
			return err
		}
		return furnish(t, env.Getenv("NIXVM_HOME"), config, image)
	}
	testscript.RunT(oneByOne{t}, p)
}

// virshOf is the command "virsh HOST ARGUMENT...": what virsh prints on a host goes to the
// standard output.
func virshOf(hosts map[string]*libvirttest.Host) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		ts.Check(ts.Exec("virsh", append([]string{"-q", "-c", hosts[args[0]].URI}, args[1:]...)...))
	}
}

// furnish gives a home images that need not be built, and a config.toml.
func furnish(t *testing.T, home, config string, images ...nixbuild.Image) error {
	t.Helper()
	trialtest.Seed(t, filepath.Join(home, "data", "images"), images...)
	dir := filepath.Join(home, "config")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.toml"), []byte(config), 0o600)
}

// configOf makes the hosts ready and returns the config.toml that has them.
func configOf(t *testing.T, hosts map[string]*libvirttest.Host, addresses map[string]string) string {
	t.Helper()
	pool := hosts["left"].Dir + "/pool"
	if err := os.Mkdir(pool, 0o711); err != nil { //nolint:gosec // QEMU's user passes through
		t.Fatal(err)
	}
	config := "default_backend = \"left\"\n"
	for name, h := range hosts {
		h.StartDefaultNetwork(t)
		h.DefinePool(t, "shared", pool)
		s := h.StartSSH(t)
		known := filepath.Join(t.TempDir(), "known_hosts")
		if err := os.WriteFile(known, []byte(knownhosts.Line([]string{s.Address}, s.HostKey)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		config += fmt.Sprintf("[backends.%s]\ntype = \"libvirt\"\nuri = \"qemu+ssh://root@%s/system?socket=%s&keyfile=%s&known_hosts=%s\"\n"+
			"pool = \"shared\"\nmigrate_uri = \"tcp://%s\"\nmigrate_unsafe = true\n", name, s.Address, h.Socket, s.KeyFile, known, addresses[name])
	}
	return config
}
