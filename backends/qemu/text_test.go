package qemu

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestForeignTextBecomesOneBoundedLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                           "",
		"one\ntwo\r\nthree\n":        "one; two; three",
		"\x1b[31mred\x00\a":          "[31mred",
		strings.Repeat("ü", 1000):    strings.Repeat("ü", textLimit/2) + "...",
		" qemu: \u202eright-to-left": "qemu: right-to-left",
	} {
		got := oneLine(in)
		if got != want || !utf8.ValidString(got) {
			t.Errorf("oneLine(%.20q) = %q, want %q", in, got, want)
		}
	}
}

func TestPercentOfQemuImg(t *testing.T) {
	var got []float64
	w := percentWriter{report: func(p float64) { got = append(got, p) }}
	for _, part := range []string{"    (0.00/100%)\r    (12.", "50/100%)\r   (x/100%)\r(", "900/100%)\r (100.00/100%)\r\n"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(got) != 3 || got[0] != 0 || got[1] != 12.5 || got[2] != 100 {
		t.Errorf("%v", got)
	}
}

func TestNoSpaceHasItsCode(t *testing.T) {
	cause := errors.New("exit status 1")
	err := diskProblem(cause, "qemu-img: error while writing at byte 0: No space left on device")
	if !problem.HasCode(err, problem.DiskFull) || !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
	if err := diskProblem(cause, "Permission denied"); err != cause {
		t.Errorf("%v", err)
	}
	if err := room(t.TempDir(), 1<<60); !problem.HasCode(err, problem.DiskFull) {
		t.Errorf("%v", err)
	}
	var st unix.Statfs_t
	if unix.Statfs(t.TempDir(), &st) == nil && st.Bavail > 0 {
		if err := room(t.TempDir(), 1); err != nil {
			t.Errorf("%v", err)
		}
	}
}

func TestAddressOfTheCardWithTheMAC(t *testing.T) {
	type addresses = []struct {
		Type    string `json:"ip-address-type"`
		Address string `json:"ip-address"`
	}
	reply := []guestInterface{
		{MAC: "00:00:00:00:00:00", Addresses: addresses{{"ipv4", "127.0.0.1"}}},
		{MAC: "02:42:ac:11:00:02", Addresses: addresses{{"ipv4", "172.17.0.1"}}},
		{MAC: "52:54:00:AA:BB:CC", Addresses: addresses{
			{"ipv6", "fe80::1%eth0"},
			{"ipv4", "evil; rm -rf"},
			{"ipv4", "169.254.1.1"},
			{"ipv4", "127.0.0.1"},
			{"ipv6", "2001:db8::5"},
			{"ipv4", "192.168.1.77"},
		}},
	}
	if got, ok := addressOf("52:54:00:aa:bb:cc", reply); !ok || got != netip.MustParseAddr("192.168.1.77") {
		t.Errorf("%v, %v", got, ok)
	}
	reply[2].Addresses = reply[2].Addresses[:5]
	if got, ok := addressOf("52:54:00:aa:bb:cc", reply); !ok || got != netip.MustParseAddr("2001:db8::5") {
		t.Errorf("%v, %v", got, ok)
	}
	if got, ok := addressOf("52:54:00:00:00:01", reply); ok {
		t.Errorf("%v", got)
	}
}
