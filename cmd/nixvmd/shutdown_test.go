package main

import (
	"testing"

	"github.com/nixvm/nixvm/rpc"
	"github.com/nixvm/nixvm/vm"
)

// A daemon in which a request, an operation and a backend hang ends one after the other
// of them, and still does so before nixvmd shutdown says that it does not.
func TestShutdownWaitsLongerThanTheDaemonTakes(t *testing.T) {
	longest := rpc.DefaultCloseTimeout + vm.GiveUpLimit() + rpc.DefaultFlushTimeout + vm.CloseLimit()
	if longest >= shutdownLimit {
		t.Errorf("the daemon may take %s, and is waited for for %s", longest, shutdownLimit)
	}
}
