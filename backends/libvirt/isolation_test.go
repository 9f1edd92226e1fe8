package libvirt_test

import (
	"context"
	_ "embed"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest/trialguest"
	"github.com/nixvm/nixvm/backends/libvirt"
	"github.com/nixvm/nixvm/backends/libvirt/libvirttest"
	"github.com/nixvm/nixvm/internal/nettest"
	"github.com/nixvm/nixvm/internal/problem"
)

// hostileScript is what root in the guest does.
//
//go:embed testdata/hostile.sh
var hostileScript string

const servicePort = "7777"

// The addresses around a guest. Those of AS112 (RFC 7534, RFC 7535), which serve the
// names of private addresses, stand for the internet.
const (
	public    = "192.175.48.7"
	allowed   = "192.168.77.9"
	resolver  = "192.168.1.53"
	gateway   = "192.168.122.1"
	neighbour = "192.168.122.250" // another guest of the network
)

var private = []string{"10.77.0.1", "172.16.5.5", "192.168.1.10", "100.64.1.1", "169.254.169.254", "198.18.0.9", "192.0.0.9", "168.63.129.16"}

// world is what lies around a guest, in networks with no way out, and hears
// what arrives from it.
type world struct {
	nettest.Ear
	h *libvirttest.Host
}

// newWorld puts a router with everything behind it on one side of the host, and
// another machine on the guests' bridge.
func newWorld(t *testing.T, h *libvirttest.Host) *world {
	t.Helper()
	w := &world{h: h}
	ip := func(args ...string) { t.Helper(); h.Run(t, "ip", args...) }
	for _, name := range []string{"world", "mate"} {
		ip("netns", "add", name)
		ip("-n", name, "link", "set", "lo", "up")
	}
	ip("link", "add", "up0", "type", "veth", "peer", "name", "up1", "netns", "world")
	ip("addr", "add", "192.31.196.1/24", "dev", "up0")
	ip("link", "set", "up0", "up")
	ip("-n", "world", "addr", "add", "192.31.196.2/24", "dev", "up1")
	ip("-n", "world", "link", "set", "up1", "up")
	ip("route", "add", "default", "via", "192.31.196.2")
	for _, a := range append([]string{public, allowed, resolver}, private...) {
		ip("-n", "world", "addr", "add", a+"/32", "dev", "lo")
	}
	ip("link", "add", "mate0", "type", "veth", "peer", "name", "eth0", "netns", "mate")
	ip("link", "set", "mate0", "master", "virbr0", "up")
	ip("-n", "mate", "addr", "add", neighbour+"/24", "dev", "eth0")
	ip("-n", "mate", "link", "set", "eth0", "up")
	ip("-n", "mate", "route", "add", "default", "via", gateway)
	for network, ports := range map[string][]string{"": {servicePort}, "world": {servicePort, "53"}, "mate": {servicePort}} {
		for _, port := range ports {
			w.Listen(t, func(f func()) error { return h.InNetwork(network, f) }, port)
		}
	}
	return w
}

// attack runs the script in the guest and returns what arrived anywhere.
func (w *world) attack(t *testing.T, client *ssh.Client, guestMAC string) []string {
	t.Helper()
	if err := w.h.InNetwork("mate", func() { // so that there is an entry to be poisoned
		if conn, err := net.Dial("tcp", net.JoinHostPort(gateway, servicePort)); err == nil {
			conn.Close()
		}
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	lines := []string{
		"public " + public + " " + servicePort, "allowed " + allowed + " " + servicePort, "resolver " + resolver + " 53",
		"resolver-service " + resolver + " " + servicePort, "host " + gateway + " " + servicePort, "neighbour " + neighbour + " " + servicePort,
	}
	for _, p := range private {
		lines = append(lines, "private-"+p+" "+p+" "+servicePort)
	}
	mac := strings.Fields(w.h.Run(t, "ip", "netns", "exec", "mate", "cat", "/sys/class/net/eth0/address"))[0]
	six := strings.Fields(w.h.Run(t, "ip", "-n", "mate", "-6", "-brief", "addr", "show", "dev", "eth0", "scope", "link"))
	local, _, _ := strings.Cut(six[len(six)-1], "/")
	script := "set -- " + strings.Join(lines, " ") + "\nmate_mac=" + mac + " mate6=" + local + "\n" + hostileScript
	out, err := trialguest.Run(ctx, client, strings.ReplaceAll(script, "'", `'\''`))
	t.Logf("the guest says:\n%s", out)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, "dns answers") {
		w.Hear("dns")
	}
	// The neighbour believes that the gateway is where the guest said it is.
	if got := w.h.Run(t, "ip", "netns", "exec", "mate", "ip", "neigh", "show", gateway); strings.Contains(got, guestMAC) {
		w.Hear("arp-poison")
	}
	return w.Heard()
}

// The host is another one, reached by ssh: its storage pool, its network and its
// filters are all there is.
func TestAHostileGuestIsKeptFromPrivateNetworksByItsHost(t *testing.T) {
	h := newHost(t, libvirttest.Start(t))
	b := h.openWith(t, libvirt.Config{URI: h.sshURI(t)})
	t.Cleanup(func() { b.Close() })
	spec := h.spec("hostile")
	spec.Isolation = &backends.Isolation{
		AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("192.168.77.0/24")},
		Resolvers:    []netip.Addr{netip.MustParseAddr(resolver)},
	}
	if err := b.Create(t.Context(), spec, nil); err != nil { // defines the network as well
		t.Fatal(err)
	}
	w := newWorld(t, h.Host)
	if err := b.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	client := h.connect(t, b, spec.Name)
	open := []string{"allowed-tcp", "allowed-udp", "dns", "public-tcp", "public-udp", "resolver-tcp", "resolver-udp"}
	if got := w.attack(t, client, spec.MAC); !slices.Equal(got, open) {
		t.Errorf("with the filter arrived\n%s\nwant\n%s", got, open)
	}

	// Other rules hold while it runs, and the former ones again.
	tight := spec
	tight.Isolation = &backends.Isolation{Resolvers: spec.Isolation.Resolvers}
	restore, err := b.ChangeIsolation(t.Context(), tight)
	if err != nil {
		t.Fatal(err)
	}
	fewer := slices.DeleteFunc(slices.Clone(open), func(word string) bool { return strings.HasPrefix(word, "allowed-") })
	if got := w.attack(t, client, spec.MAC); !slices.Equal(got, fewer) {
		t.Errorf("with tighter rules arrived\n%s\nwant\n%s", got, fewer)
	}
	if err := restore(t.Context()); err != nil {
		t.Fatal(err)
	}

	// The same guest, the same script, the same run; the filter emptied.
	filter := strings.Fields(h.Virsh(t, "nwfilter-list"))
	h.Define(t, "nwfilter-define", fmt.Sprintf("<filter name='%s'><uuid>%s</uuid></filter>", filter[1], filter[0]))
	got := w.attack(t, client, spec.MAC)
	for _, word := range append(open, "resolver-service-tcp", "host-tcp", "host-udp", "host-port53-tcp", "neighbour-tcp", "neighbour-udp", "hairpin-udp", "frame-udp",
		"private-10.77.0.1-tcp", "private-172.16.5.5-udp", "private-192.168.1.10-tcp", "private-100.64.1.1-tcp", "private-169.254.169.254-tcp", "private-198.18.0.9-tcp", "private-168.63.129.16-udp",
		"spoofed-ip-udp", "spoofed-mac-udp", "linklocal6-udp", "arp-poison") {
		if !slices.Contains(got, word) {
			t.Errorf("without the filter %s does not arrive: its absence above proves nothing\nthere arrive %s", word, got)
		}
	}
	client.Close()

	// What is allowed follows the machine at its next start, and goes with the VM.
	if err := b.Kill(t.Context(), backends.Named(spec.Name)); err != nil {
		t.Fatal(err)
	}
	spec.Isolation.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}
	if err := b.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if x := h.Virsh(t, "nwfilter-dumpxml", filter[1]); !strings.Contains(x, "10.9.0.0") || strings.Contains(x, "192.168.77.0") {
		t.Errorf("after a change of allowed_cidrs the filter is %s", x)
	}
	if err := b.Destroy(t.Context(), backends.Named(spec.Name)); err != nil {
		t.Fatal(err)
	}
	if got := h.Virsh(t, "nwfilter-list") + h.Virsh(t, "net-dhcp-leases", "default"); strings.Contains(got, "nixvm") {
		t.Errorf("after the VM is destroyed there is %s", got)
	}
	if x := h.Virsh(t, "net-dumpxml", "default"); strings.Contains(x, "<host") {
		t.Errorf("its address stays reserved: %s", x)
	}
}

// sshURI starts sshd on the host, and returns how to reach its libvirtd.
func (h *host) sshURI(t *testing.T) string {
	t.Helper()
	s := h.StartSSH(t)
	known := filepath.Join(t.TempDir(), "known_hosts")
	line := knownhosts.Line([]string{knownhosts.Normalize(s.Address)}, s.HostKey)
	if err := os.WriteFile(known, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("qemu+ssh://root@%s/system?keyfile=%s&known_hosts=%s", s.Address, s.KeyFile, known)
}

// connect waits until the guest answers, and returns a connection to it.
func (h *host) connect(t *testing.T, b backends.Backend, name string) *ssh.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	e, err := b.Endpoint(ctx, backends.Named(name))
	for ; problem.HasCode(err, problem.VMNotReady); e, err = b.Endpoint(ctx, backends.Named(name)) {
		<-tick.C // there is no event of a DHCP lease
	}
	if err != nil {
		t.Fatal(err)
	}
	client, err := h.guest.Connect(ctx, nil, e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}
