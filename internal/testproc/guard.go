package testproc

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

//go:embed guard.sh
var guardScript string

// Guard is for what outlives its starter by design: a daemon, and the QEMUs of its
// VMs. It starts a process that kills them when the test process ends without having
// called over: all processes whose NIXVM_HOME is dir, or whose command line names a
// file below it. dir is an absolute path of the test's own. Call over when they have
// been ended in the orderly way.
func Guard(dir string) (over func(), err error) {
	if !strings.HasPrefix(dir, "/") || strings.ContainsAny(dir, "\n\\") {
		return nil, fmt.Errorf("guard the processes of %q: it is no absolute path of one line", dir)
	}
	cmd := exec.Command("sh", "-c", guardScript)
	// Not the environment of the test: it would find itself. And not its group: what
	// ends that must not end it.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	words, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = fmt.Fprintln(words, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("guard the processes of %s: %w", dir, err)
	}
	return func() {
		_, _ = fmt.Fprintln(words, "over") // it may have been killed
		_ = words.Close()
		_ = cmd.Wait()
	}, nil
}
