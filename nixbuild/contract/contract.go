// Package contract checks a running VM against the guest contract
// (docs/guest-contract.md), over SSH, whichever image the VM runs: the trial
// guest, a NixOS image of our flake, or one built elsewhere.
//
//	contract.Run(t, contract.Target{
//		Mode: nixbuild.Immutable, Dial: dial, Hostname: "boxone", MachineID: id, ...
//	})
//
// Every check is a subtest whose name is a sentence of the contract. What the
// suite cannot do from inside the guest (press the power button, talk to the
// guest agent, connect to a port) it gets as functions of the Target; where one
// is nil, the checks that need it are skipped and say so.
//
// The checks of reachability need addresses: Blocked and Allowed. Give
// some only for a VM that has no route to anywhere else, in a network namespace
// of its own: a guest that fails the check would otherwise contact other hosts.
package contract

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/nixbuild"
)

// stepLimit bounds one command in the guest, which may be an emulated one on a
// busy machine.
const stepLimit = 2 * time.Minute

// Target is the VM to check, and what is known of it from outside.
type Target struct {
	Mode     string // of the image: nixbuild.Immutable ...
	Contract int    // the version that it obeys; 0 = the newest
	NixOS    bool   // also check what only NixOS needs
	Version  string // of image.json; "" = not known
	Hostname string
	// MachineID is 32 hex digits.
	MachineID string

	// Address is where the guest's sshd answers, host:port.
	Address string
	// Key is authorised for admin and user; HostKey is the pinned one.
	Key     ssh.Signer
	HostKey ssh.PublicKey

	// Files are the identity files as nixvmd wrote them, by their names on the
	// medium: the guest must have each, unchanged, in its place. Names that are
	// not given are not checked.
	Files map[string]string

	// OpenPort is declared in tcp_ports, ClosedPort is not; Connect reaches a
	// port of the guest from outside.
	OpenPort, ClosedPort int
	Connect              func(ctx context.Context, port int) (net.Conn, error)

	// Renew gives the medium that the running guest has another content: these
	// files, and the next generation, which it returns.
	Renew func(files map[string]string) (generation int, err error)

	// Grow enlarges the disk with the guest's state while it runs, and returns its new
	// size in bytes.
	Grow func(ctx context.Context) (size int64, err error)

	// Blocked are addresses, host:port, that the guest must not reach though
	// a listener must be there; Allowed are ones that it must reach. Listeners
	// send a line that starts with Greeting. Names are resolved in the guest.
	Blocked, Allowed []string

	// Agent sends a request to the QEMU guest agent and returns the "return"
	// part of its answer.
	Agent func(ctx context.Context, request string) ([]byte, error)
	// Console returns what the guest has written to ttyS0 since it started.
	Console func() string
	// PowerOff presses the ACPI power button and returns when the VM is off.
	// With it, that is the last check.
	PowerOff func(ctx context.Context) error
}

// Greeting is what the listeners of Blocked and Allowed send at once.
const Greeting = "nixvm-probe"

// guest is a Target with connections as both accounts.
type guest struct {
	Target
	admin, user *ssh.Client
}

// Run checks the VM. It must have booted: sshd answers.
func Run(t *testing.T, target Target) {
	t.Helper()
	run(t, target, diskChecks, identityChecks, accountChecks, sshChecks, serviceChecks, networkChecks, liveChecks, growChecks, lastChecks)
}

// Machine checks what depends on the machine rather than on the image: its disks and
// its identity. It is for an image that has passed Run elsewhere.
func Machine(t *testing.T, target Target) {
	t.Helper()
	run(t, target, diskChecks, identityChecks, growChecks)
}

func run(t *testing.T, target Target, groups ...[]check) {
	t.Helper()
	g := &guest{Target: target}
	for name, client := range map[string]**ssh.Client{"admin": &g.admin, "user": &g.user} {
		c, err := g.dial(name, ssh.PublicKeys(target.Key))
		if err != nil {
			t.Fatalf("%s cannot log in by ssh: %v", name, err)
		}
		t.Cleanup(func() { c.Close() })
		*client = c
	}
	for _, group := range groups {
		for _, c := range group {
			if c.modes != nil && !slices.Contains(c.modes, target.Mode) || c.nixos && !target.NixOS ||
				target.Contract != 0 && target.Contract < c.since {
				continue
			}
			t.Run(strings.ReplaceAll(c.name, "/", "∕"), func(t *testing.T) { c.run(t, g) })
		}
	}
}

// check is one sentence of the contract.
type check struct {
	name  string   // "/" would make subtests of it: Run replaces it
	modes []string // only in these; nil = in all
	nixos bool     // of NixOS only
	since int      // version of the contract that has it; 0 = all
	run   func(t *testing.T, g *guest)
}

// The modes that a check is for.
var (
	immutable    = []string{nixbuild.Immutable}
	semiMutable  = []string{nixbuild.SemiMutable}
	mutable      = []string{nixbuild.Mutable}
	readOnlyRoot = []string{nixbuild.Immutable, nixbuild.SemiMutable}
	withNix      = []string{nixbuild.SemiMutable, nixbuild.Mutable}
)

// dial opens a connection. The guest must have the pinned host key.
func (g *guest) dial(user string, auth ...ssh.AuthMethod) (*ssh.Client, error) {
	return g.dialWith(&ssh.ClientConfig{User: user, Auth: auth, HostKeyCallback: ssh.FixedHostKey(g.HostKey)})
}

func (g *guest) dialWith(c *ssh.ClientConfig) (*ssh.Client, error) {
	conn, err := net.DialTimeout("tcp", g.Address, stepLimit)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(stepLimit))
	sc, chans, reqs, err := ssh.NewClientConn(conn, g.Address, c)
	if err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return ssh.NewClient(sc, chans, reqs), nil
}

// output runs a command and returns what it prints, trimmed, and its exit
// status. Only a broken connection ends the test.
func output(t *testing.T, client *ssh.Client, command string) (string, int) {
	t.Helper()
	s, err := client.NewSession()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	defer s.Close()
	timer := time.AfterFunc(stepLimit, func() { s.Close() })
	defer timer.Stop()
	out, err := s.CombinedOutput(command)
	text := strings.TrimSpace(string(out))
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return text, 0
	case errors.As(err, &exit):
		return text, exit.ExitStatus()
	}
	t.Fatalf("%s: %v", command, err)
	return "", 0
}

// must runs a command as admin that has to succeed.
func (g *guest) must(t *testing.T, command string) string {
	t.Helper()
	out, status := output(t, g.admin, command)
	if status != 0 {
		t.Fatalf("%s: exit status %d: %s", command, status, out)
	}
	return out
}

// refused runs a command as admin that has to fail.
func (g *guest) refused(t *testing.T, command string) string {
	t.Helper()
	out, status := output(t, g.admin, command)
	if status == 0 {
		t.Errorf("%s: succeeded, and must not", command)
	}
	return out
}

// prints checks what a command of admin prints.
func prints(command, want string) func(*testing.T, *guest) {
	return func(t *testing.T, g *guest) {
		if got := g.must(t, command); got != want {
			t.Errorf("%s: got %q, want %q", command, got, want)
		}
	}
}

// needs skips the check when the Target lacks what it depends on.
func needs(t *testing.T, have bool, what string) {
	t.Helper()
	if !have {
		t.Skip("the target does not say " + what)
	}
}

func stepContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), stepLimit)
	t.Cleanup(cancel)
	return ctx
}

// quote makes one word of a POSIX shell.
func quote(s string) string { return fmt.Sprintf("'%s'", strings.ReplaceAll(s, "'", `'\''`)) }
