package contract_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/internal/nettest"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/contract"
	"github.com/nixvm/nixvm/nixbuild/internal/guesttest"
	"github.com/nixvm/nixvm/nixbuild/trial/trialtest"
)

const gib = 1 << 30

// A guest with an agent profile, alone in a network namespace where everything
// private listens and nothing leads out.
func TestAgentGuestObeysTheContractAndCannotReachPrivateNetworks(t *testing.T) {
	img := trialtest.Image(t, nixbuild.Immutable, "claude")
	if !nettest.Inside(t) {
		return
	}
	l := listenEverywhere(t)
	id := guesttest.NewIdentity(t, "boxone")
	id.Files["allowed_cidrs"] = l.allowedCIDR + "\n"
	g := guesttest.Boot(t, guesttest.Config{Image: img, Identity: id, StateDisk: guesttest.NewDisk(t, 2*gib)})
	c := guesttest.Target(img, g)
	c.Allowed, c.Blocked = l.public, l.private
	c.Allowed = append(c.Allowed, l.allowed...)
	contract.Run(t, c)
}

// The same network, without an agent profile: everything can be reached, which
// shows that the guest above was held back by its firewall and nothing else.
func TestTinyGuestObeysTheContractAndReachesPrivateNetworks(t *testing.T) {
	img := trialtest.Tiny(t)
	if !nettest.Inside(t) {
		return
	}
	l := listenEverywhere(t)
	g := guesttest.Boot(t, guesttest.Config{Image: img, Identity: guesttest.NewIdentity(t, "tiny"), StateDisk: guesttest.BlankDisk(t, gib)})
	c := guesttest.Target(img, g)
	c.Allowed = append(append(l.public, l.allowed...), l.private...)
	contract.Run(t, c)
}

// Neither a partition table nor a file system, and zeros nearly everywhere: what
// a user may keep on a raw disk, at a place that checking only a few would miss.
func TestADiskWithAnythingOnItIsLeftAlone(t *testing.T) {
	disk := guesttest.BlankDisk(t, gib/4)
	guesttest.Write(t, disk, 100<<20+4096, "precious")
	before, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	g := guesttest.Launch(t, guesttest.Config{Image: trialtest.Tiny(t), Identity: guesttest.NewIdentity(t, "foreign"), StateDisk: disk})
	select {
	case <-g.Over():
	case <-time.After(guesttest.Limit):
		t.Error("the guest goes on with a disk that is not its own")
	}
	if !strings.Contains(g.Console(), "not touching it") {
		t.Errorf("it does not say why:\n%s", g.Console())
	}
	if after, err := os.ReadFile(disk); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the disk was written to (%v)", err)
	}
}

// The first boot is made as NixOS makes it; the second is by UEFI, from a larger
// state disk, with another identity.
func TestStateGrowsAndIdentityChangesAtTheNextBoot(t *testing.T) {
	img := trialtest.Tiny(t)
	disk := guesttest.NewDisk(t, gib)
	id := guesttest.NewIdentity(t, "before")
	g := guesttest.Boot(t, guesttest.Config{Image: bootedLikeNixOS(t, img), Identity: id, StateDisk: disk})
	if !strings.Contains(g.Console(), "the programs in the chroot ended with 0") {
		t.Errorf("the shared programs did not run as on NixOS:\n%s", g.Console())
	}
	g.Run(t, "user", "echo kept > ~/file && sync")
	g.Kill() // and not in an orderly way

	guesttest.Resize(t, disk, 3*gib)
	next := guesttest.NewIdentity(t, "after").With(map[string]string{
		"hosts": "192.0.2.9 printer.example\n", "root_password_hash": "$6$salt$abcdefghijklmnopqrstuvwxyz\n",
		"ca-cert.pem": "-----BEGIN CERTIFICATE-----\nours\n-----END CERTIFICATE-----\n",
	})
	g = guesttest.Boot(t, guesttest.Config{Image: img, Identity: next, StateDisk: disk, UEFI: true})
	for command, want := range map[string]string{
		"cat ~/file":                                   "kept",
		"getent hosts printer.example":                 "192.0.2.9       printer.example",
		"sudo -n true 2>&1 || echo none":               "",
		"tail -n 2 /etc/ssl/certs/ca-certificates.crt": "ours\n-----END CERTIFICATE-----",
		"[ $(grep -c BEGIN /etc/ssl/certs/ca-certificates.crt) -gt 50 ] && echo many": "many",
	} {
		user := "user"
		if strings.HasPrefix(command, "sudo") {
			user = "admin"
		}
		if got := g.Run(t, user, command); got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
	if got := g.Run(t, "admin", "sudo sed -n 's/^root:\\([^:]*\\):.*/\\1/p' /etc/shadow"); got != "$6$salt$abcdefghijklmnopqrstuvwxyz" {
		t.Errorf("the password of root is %q", got)
	}
	contract.Machine(t, guesttest.Target(img, g))
}

func TestSemiMutableGuestKeepsWhatIsWrittenToNix(t *testing.T) {
	img := trialtest.TinyIn(t, nixbuild.SemiMutable)
	disk := guesttest.NewDisk(t, 2*gib)
	id := guesttest.NewIdentity(t, "semi")
	g := guesttest.Boot(t, guesttest.Config{Image: img, Identity: id, StateDisk: disk})
	g.Run(t, "admin", "echo kept | sudo tee /nix/file && sync")
	contract.Machine(t, guesttest.Target(img, g)) // the whole contract: TestLong...
	g.Kill()

	g = guesttest.Boot(t, guesttest.Config{Image: img, Identity: id, StateDisk: disk})
	if got := g.Run(t, "user", "cat /nix/file"); got != "kept" {
		t.Errorf("after a reboot /nix/file holds %q", got)
	}
}

func TestMutableGuestOwnsItsIdentityAfterTheFirstBoot(t *testing.T) {
	img := trialtest.TinyIn(t, nixbuild.Mutable)
	disk := guesttest.MutableDisk(t, img, 3*gib)
	id := guesttest.NewIdentity(t, "mine")
	g := guesttest.Boot(t, guesttest.Config{Image: img, Identity: id, StateDisk: disk})
	contract.Machine(t, guesttest.Target(img, g)) // the whole contract: TestLong...
	g.Run(t, "admin", "sync")
	g.Kill()

	guesttest.Resize(t, disk, 4*gib)
	later := id.With(map[string]string{"hostname": "theirs\n"})
	g = guesttest.Boot(t, guesttest.Config{Image: img, Identity: later, StateDisk: disk})
	if got, want := g.Run(t, "admin", "hostname; cat /etc/machine-id"), "mine\n"+strings.TrimSpace(id.Files["machine-id"]); got != want {
		t.Errorf("after a new generation the guest is %q, want %q still", got, want)
	}
	if got := g.Run(t, "admin", "df -BG --output=size / | tail -n 1"); strings.TrimSpace(got) != "4G" {
		t.Errorf("the root has %s of a disk of 4 GiB", got)
	}
	g.Run(t, "admin", "echo kept > ~/file && sync")
	g.Kill()

	// The medium of another machine: the disk is that of a clone. Boot accepts no
	// host key but the new one.
	clone := guesttest.NewIdentity(t, "clone")
	g = guesttest.Boot(t, guesttest.Config{Image: img, Identity: clone, StateDisk: disk})
	if got, want := g.Run(t, "admin", "cat ~/file; hostname; cat /etc/machine-id"), "kept\nclone\n"+strings.TrimSpace(clone.Files["machine-id"]); got != want {
		t.Errorf("the clone has %q, want %q", got, want)
	}
}
