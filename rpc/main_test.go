package rpc_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// children are what the test binary does when a test runs it again, by its first
// argument.
var children = map[string]func() error{"listen": childListen, "dial": childDial, "daemon": childDaemon, "squat": childSquat}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && children[os.Args[1]] != nil {
		if err := children[os.Args[1]](); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
