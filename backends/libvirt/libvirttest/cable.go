package libvirttest

import (
	"os/exec"
	"strconv"
	"testing"
)

// Cable joins the networks of two hosts: each reaches the other at the address
// that is given for it (10.77.0.1/24).
func Cable(t testing.TB, a *Host, addressA string, b *Host, addressB string) {
	t.Helper()
	pid := func(h *Host) string { return strconv.Itoa(h.inside.cmd.Process.Pid) }
	// Outside of a's processes, where b's has a number.
	out, err := exec.CommandContext(t.Context(), "nsenter", "--target", pid(a), "--net", "--",
		"ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", pid(b)).CombinedOutput()
	if err != nil {
		t.Fatalf("join two hosts: %v\n%s", err, out)
	}
	for h, address := range map[*Host]string{a: addressA, b: addressB} {
		h.Run(t, "ip", "address", "add", address, "dev", "cable")
		h.Run(t, "ip", "link", "set", "cable", "up")
	}
}
