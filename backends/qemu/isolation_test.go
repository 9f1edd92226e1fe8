package qemu_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest/trialguest"
	"github.com/nixvm/nixvm/internal/nettest"
)

// hostileScript is what root in the guest does.
//
//go:embed testdata/hostile.sh
var hostileScript string

// What lies around a guest, as NAME ADDRESS PORT. The addresses of AS112
// (RFC 7534, RFC 7535) stand for the internet.
const (
	world = `public 192.175.48.7 7777 public-dns 192.175.48.7 53 allowed 192.168.77.9 7777 resolver 192.168.1.53 53
resolver-service 192.168.1.53 7777 other-dns 192.168.1.10 53
a10 10.77.0.1 7777 a172 172.16.5.5 7777 a192 192.168.1.10 7777 shared 100.64.1.1 7777 linklocal 169.254.169.254 7777
benchmark 198.18.0.9 7777 protocols 192.0.0.9 7777 azure 168.63.129.16 7777 documents 203.0.113.9 7777`
	host = "gateway 10.0.2.2 7777 nameserver 10.0.2.3 7777 subnet 10.0.2.4 7777 host-public 192.31.196.1 7777 host-private 10.55.0.1 7777 host-anyip 192.52.193.7 7777 zero 0.0.0.0 7777"
)

// surround puts a host with a router and everything behind it around the guest,
// in networks with no way out.
func surround(t *testing.T) *nettest.Ear {
	t.Helper()
	ear := &nettest.Ear{}
	outside := nettest.Add(t)
	there := func(f func()) error { return nettest.In(outside, f) }
	nettest.IP(t, "link", "set", "lo", "up")
	nettest.IP(t, "link", "add", "up0", "type", "veth", "peer", "name", "up1", "netns", outside)
	nettest.IP(t, "addr", "add", "192.31.196.1/24", "dev", "up0")
	nettest.IP(t, "addr", "add", "10.55.0.1/24", "dev", "up0")
	nettest.IP(t, "link", "set", "up0", "up")
	nettest.IP(t, "route", "add", "default", "via", "192.31.196.2")
	// The host's own too, and no interface carries it.
	nettest.IP(t, "route", "add", "local", "192.52.193.0/24", "dev", "lo")
	if err := there(func() {
		nettest.IP(t, "link", "set", "lo", "up")
		nettest.IP(t, "addr", "add", "192.31.196.2/24", "dev", "up1")
		nettest.IP(t, "link", "set", "up1", "up")
		words := strings.Fields(world)
		var added []string
		for i := 1; i < len(words); i += 3 {
			if !slices.Contains(added, words[i]) {
				added = append(added, words[i])
				nettest.IP(t, "addr", "add", words[i]+"/32", "dev", "lo")
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	ear.Listen(t, there, "7777")
	ear.Listen(t, there, "53")
	ear.Listen(t, nil, "7777")
	nettest.Resolve(t, map[string]string{"\x06public\x04test\x00": "192.175.48.7", "\x07private\x04test\x00": "192.168.1.10"})
	return ear
}

// The agent's account has sudo: nothing inside the guest holds. In one VM: what
// its host lets through, then what a daemon, its network and itself can suffer.
func TestAHostileGuestIsKeptFromPrivateNetworksByItsHost(t *testing.T) {
	keptIn(t, false) // with every attack repeated: TestLong...
}

// keptIn checks it; whole repeats the whole attack with each set of rules, where the
// short form tries an address of each kind.
func keptIn(t *testing.T, whole bool) {
	g := newGuest(t)
	if !nettest.Inside(t) {
		return
	}
	h := &hostile{T: t, g: g, whole: whole, ear: surround(t), spec: g.Spec("hostile")}
	h.b = g.open(t)
	t.Cleanup(func() { h.b.Close() })
	h.spec.Isolation = &backends.Isolation{
		AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("192.168.77.0/24")},
		Resolvers:    []netip.Addr{netip.MustParseAddr("192.168.1.53")},
	}
	h.must(h.b.Create(t.Context(), h.spec, nil))
	t.Cleanup(func() { h.must(h.b.Destroy(context.Background(), backends.Named(h.spec.Name))) })

	h.start()
	open := []string{"allowed-tcp", "allowed-udp", "public-dns-tcp", "public-dns-udp", "public-name-tcp", "public-tcp", "public-udp", "resolver-tcp", "resolver-udp"}
	if got := h.attack(); !slices.Equal(got, open) {
		t.Errorf("with isolation arrived\n%s\nwant\n%s", got, open)
	}
	if log := h.file("network.log"); !strings.Contains(log, "to=10.77.0.1:7777") || strings.Contains(log, "192.175.48.7") {
		t.Errorf("network.log:\n%s", log)
	}
	h.usage()
	h.daemonRestarts()
	h.rulesChange(open)
	h.networkDies(open)

	// The same guest and script without isolation.
	h.spec.Isolation = nil
	h.start()
	got := h.attack()
	for _, word := range append(open, "a10-tcp", "a172-udp", "a192-tcp", "shared-tcp", "linklocal-tcp", "other-dns-udp", "resolver-service-tcp",
		"private-name-tcp", "host-public-tcp", "host-private-udp", "host-anyip-tcp", "benchmark-tcp", "protocols-udp", "azure-tcp", "documents-tcp") {
		if !slices.Contains(got, word) {
			t.Errorf("without isolation %s does not arrive: its absence above proves nothing\nthere arrive %s", word, got)
		}
	}
	for _, word := range []string{"gateway", "nameserver", "subnet", "zero", "martian", "broadcast", "multicast"} {
		if slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, word+"-") }) {
			t.Errorf("without isolation the host's loopback is reached: %s", got)
		}
	}
	h.leavesNothing()
}

// hostile is one VM and the world around it.
type hostile struct {
	*testing.T
	g      *guest
	whole  bool
	b      backends.Backend
	ear    *nettest.Ear
	spec   backends.Spec
	client *ssh.Client
}

func (h *hostile) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// start starts the VM and waits until its sshd answers.
func (h *hostile) start() {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), waitLimit)
	defer cancel()
	h.must(h.b.Start(ctx, h.spec))
	h.connect()
}

// connect waits until sshd answers.
func (h *hostile) connect() {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), waitLimit)
	defer cancel()
	e, err := h.b.Endpoint(ctx, backends.Named(h.spec.Name))
	h.must(err)
	client, err := h.g.Connect(ctx, nil, e)
	h.must(err)
	h.client = client
	h.Cleanup(func() { client.Close() })
}

// run runs a shell command as root in the guest, over the connection of start.
func (h *hostile) run(command string) string {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), waitLimit)
	defer cancel()
	out, err := trialguest.Run(ctx, h.client, strings.ReplaceAll(command, "'", `'\''`))
	if err != nil {
		h.Fatalf("%v\n%s", err, out)
	}
	return out
}

// attack runs the script in the guest and returns what arrived anywhere.
func (h *hostile) attack() []string {
	h.Helper()
	out := h.run("set -- " + strings.Join(strings.Fields(world+" "+host), " ") + "\n" + hostileScript)
	h.Logf("the guest says:\n%s", out)
	for _, want := range []string{"public.test is 192.175.48.7\n", "private.test is 192.168.1.10\n", "10.0.2.2 answers", "lease of 10.0.2.15 obtained from 10.0.2.2"} {
		if !strings.Contains(out, want) {
			h.Errorf("the guest does not say %q", want)
		}
	}
	if strings.Contains(out, "192.168.1.10 answers") || strings.Contains(out, "192.175.48.7 answers") {
		h.Error("the network answers a ping in the name of others")
	}
	return h.ear.Heard()
}

// arrives checks that of an attack this arrives and nothing else.
func (h *hostile) arrives(want []string) {
	h.Helper()
	if !h.whole {
		h.probe(slices.DeleteFunc(slices.Clone(want), func(word string) bool {
			return !slices.Contains([]string{"allowed-tcp", "allowed-udp", "public-tcp", "public-udp"}, word)
		}))
	} else if got := h.attack(); !slices.Equal(got, want) {
		h.Errorf("with these rules arrived\n%s\nwant\n%s", got, want)
	}
}

// probe is the short form of an attack: one address of each kind.
func (h *hostile) probe(want []string) {
	h.Helper()
	h.Logf("the guest says:\n%s", h.run("for at in public/192.175.48.7 allowed/192.168.77.9 a10/10.77.0.1; do\n"+
		"to=${at#*/}/7777 name=${at%/*}\nbash -c \"echo $name-udp >/dev/udp/$to\"\n"+
		"timeout 10 bash -c \"exec 3<>/dev/tcp/$to && echo $name-tcp >&3 && cat <&3\" 2>&1\ndone; true"))
	var got []string
	tick, limit := time.NewTicker(50*time.Millisecond), time.After(waitLimit)
	defer tick.Stop()
	for waiting := true; waiting; {
		got = append(got, h.ear.Heard()...)
		if !slices.ContainsFunc(want, func(word string) bool { return !slices.Contains(got, word) }) {
			break
		}
		select {
		case <-tick.C: // a packet that was sent may not have been read yet
		case <-limit:
			waiting = false
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		h.Errorf("with these rules arrived\n%s\nwant\n%s", got, want)
	}
}

// usage: the owner's connection is counted, and what was refused.
func (h *hostile) usage() {
	h.Helper()
	reporter, ok := h.b.(backends.NetworkReporter)
	if !ok {
		h.Fatal("the backend does not tell what its VMs have open")
	}
	u, err := reporter.NetworkUsage(h.Context(), backends.Named(h.spec.Name))
	if err != nil || u.In.Now < 1 || u.Out.Limit <= u.In.Limit || u.Refused < 20 || u.Last == nil {
		h.Errorf("%+v, %v", u, err)
	}
}

// daemonRestarts: the network does not depend on it.
func (h *hostile) daemonRestarts() {
	h.must(h.b.Close())
	if got := h.run("echo no console"); got != "no console\n" {
		h.Errorf("without a daemon the guest says %q", got)
	}
	h.b = h.g.open(h)
	st, err := h.b.Status(h.Context(), backends.Named(h.spec.Name))
	if err != nil || st.State != backends.Running || st.Reason != "" {
		h.Errorf("%+v, %v", st, err)
	}
	if got := h.run("echo adopted"); got != "adopted\n" {
		h.Errorf("after the adoption the guest says %q", got)
	}
}

// rulesChange: without a reboot, the host keeps from the guest what it could reach.
func (h *hostile) rulesChange(open []string) {
	live, ok := h.b.(backends.LiveFirewall)
	if !ok {
		h.Fatal("the backend does not change the rules of VMs that run")
	}
	tight := h.spec
	tight.Isolation = &backends.Isolation{}
	restore, err := live.ChangeIsolation(h.Context(), tight)
	h.must(err)
	h.arrives(slices.DeleteFunc(slices.Clone(open), func(word string) bool {
		return strings.HasPrefix(word, "allowed-") || strings.HasPrefix(word, "resolver-")
	}))
	h.must(restore(h.Context()))
}

// networkDies: the VM says so and gets another one without a reboot, from the daemon
// that sees it and from the next one. The forwarded port and the policy stay.
func (h *hostile) networkDies(open []string) {
	boot := h.run("cat /proc/sys/kernel/random/boot_id")
	for _, daemon := range []string{"the daemon", "the next daemon"} {
		h.must(unix.Kill(h.network(), unix.SIGKILL))
		for e := range h.b.Events() {
			if e.Status.State == backends.Running && e.Status.Cut && strings.Contains(e.Status.Reason, "network") {
				break
			}
		}
		if daemon != "the daemon" {
			h.must(h.b.Close())
			h.b = h.g.open(h)
		}
		h.connected()
		if got := h.run("cat /proc/sys/kernel/random/boot_id"); got != boot {
			h.Errorf("%s has restarted the guest", daemon)
		}
	}
	h.arrives(open)
	h.must(h.b.Kill(h.Context(), backends.Named(h.spec.Name)))
}

// connected waits until the VM has a network, and connects anew.
func (h *hostile) connected() {
	h.Helper()
	for {
		st, err := h.b.Status(h.Context(), backends.Named(h.spec.Name))
		h.must(err)
		if st.State == backends.Running && !st.Cut {
			break
		}
		<-h.b.Events()
	}
	h.connect()
}

// network is the process id of the VM's network.
func (h *hostile) network() int {
	h.Helper()
	var record struct {
		Run struct {
			Network struct {
				PID int `json:"pid"`
			} `json:"network"`
		} `json:"run"`
	}
	h.must(json.Unmarshal([]byte(h.file("vm.json")), &record))
	if record.Run.Network.PID <= 1 {
		h.Fatal("no network process is on record")
	}
	return record.Run.Network.PID
}

// file is one of the VM's directory.
func (h *hostile) file(name string) string {
	h.Helper()
	text, err := os.ReadFile(filepath.Join(h.g.layout.VM(h.spec.Name), name))
	h.must(err)
	return string(text)
}

func (h *hostile) leavesNothing() {
	pid := h.network()
	h.must(h.b.Destroy(h.Context(), backends.Named(h.spec.Name)))
	if line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline"); err == nil && strings.Contains(string(line), "netstack") {
		h.Errorf("the network runs on: %s", line)
	}
	for _, dir := range []string{h.g.layout.VMRuntime(h.spec.Name), h.g.layout.VM(h.spec.Name)} {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			h.Errorf("the VM leaves %s: %v", dir, err)
		}
	}
}
