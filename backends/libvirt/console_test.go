package libvirt

import (
	"net"
	"testing"

	"github.com/nixvm/nixvm/backends/internal/console"
)

func TestTheLastClientClosesAConsoleAndNobodyIsGivenAClosedOne(t *testing.T) {
	b := &Backend{hubs: map[string]*hub{}}
	if s := b.sit("demo", nil); s != nil {
		t.Fatal("there is a seat at no console")
	}
	line, guest := net.Pipe()
	defer guest.Close()
	h := &hub{Hub: console.New(line, nil)}
	first := b.sit("demo", h)
	second := b.sit("demo", nil)
	if second == nil {
		t.Fatal("an open console is not shared")
	}
	first.Close()
	first.Close() // counts once
	if hasEnded(h) {
		t.Error("the console is closed under its second client")
	}
	second.Close()
	if !hasEnded(h) {
		t.Error("nobody has it open, and it is not closed")
	}
	if s := b.sit("demo", nil); s != nil {
		t.Error("somebody is given the closed console")
	}
}
