package host

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/internal/nettest"
	"github.com/nixvm/nixvm/internal/problem"
)

func TestBridgesOfThisHostAreListedWithTheirPorts(t *testing.T) {
	if !nettest.Inside(t) {
		return
	}
	if list, err := Bridges(); err != nil || len(list) > 0 {
		t.Fatalf("a network with a loopback only: %+v, %v", list, err)
	}
	if err := CheckBridge("br0"); !problem.HasCode(err, problem.MachineInvalid) || !strings.Contains(err.Error(), "has no bridges") {
		t.Errorf("a bridge where there is none: %v", err)
	}
	for _, args := range []string{
		"link add br0 type bridge", "link add idle type bridge", "link add a=b type bridge", // no machine can name the last
		"link add port1 type veth peer name far1", "link add port0 type veth peer name far0", "link set port1 master br0", "link set port0 master br0",
		"address add 192.0.2.1/24 dev br0", "address add 2001:db8::1/64 dev br0 nodad",
		"link set port1 up", "link set far1 up", "link set br0 up",
	} {
		nettest.IP(t, strings.Fields(args)...)
	}
	list, err := Bridges()
	for tick := time.NewTicker(time.Millisecond); err == nil && len(list) == 2 && !list[0].Up; list, err = Bridges() {
		<-tick.C // the kernel takes it up, and adds a link-local address, in its own time
	}
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	br0 := list[0]
	if got := fmt.Sprint(br0.Name, br0.Up, br0.Addresses[:2], br0.Ports); got != "br0true [192.0.2.1/24 2001:db8::1/64] [port0 port1]" {
		t.Errorf("got %s", got)
	}
	if idle := list[1]; idle.Name != "idle" || idle.Up || idle.Addresses != nil || idle.Ports != nil {
		t.Errorf("a bridge that nothing uses: %+v", idle)
	}
	for _, there := range []string{"", "br0", "idle"} {
		if err := CheckBridge(there); err != nil {
			t.Errorf("%q: %v", there, err)
		}
	}
	for _, no := range []string{"br1", "lo", "port0"} {
		err := CheckBridge(no)
		if !problem.HasCode(err, problem.MachineInvalid) || !strings.Contains(err.Error(), "its bridges are br0, idle") {
			t.Errorf("%s: %v", no, err)
		}
	}
}
