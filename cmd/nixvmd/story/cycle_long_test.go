//go:build long

package story

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nixvm/nixvm/backends/libvirt/libvirttest"
	"github.com/nixvm/nixvm/cmd/nixvmd/internal/scripttest"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/trial/trialtest"
)

// TestLongLifeCycleStory is about what is done with a VM after its first day, on a host
// that is reached by ssh: what of it runs without a guest is in TestMigrateStory.
func TestLongLifeCycleStory(t *testing.T) {
	images := []nixbuild.Image{trialtest.Tiny(t), trialtest.TinyIn(t, nixbuild.SemiMutable), trialtest.TinyIn(t, nixbuild.Mutable)}
	hosts := map[string]*libvirttest.Host{"left": libvirttest.Start(t)}
	config := configOf(t, hosts, map[string]string{"left": "10.77.0.1"}) + "[backends.qemu]\ntype = \"qemu\"\n"
	p := scripttest.Params("testdata/cycle")
	p.Cmds["virsh"] = virshOf(hosts)
	setup := p.Setup
	p.Setup = func(env *testscript.Env) error {
		if err := setup(env); err != nil {
			return err
		}
		return furnish(t, env.Getenv("NIXVM_HOME"), config, images...)
	}
	testscript.RunT(oneByOne{t}, p)
}
