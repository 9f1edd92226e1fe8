package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/internal/testproc"
)

// place is a nixvm of its own for one test, without guests. It returns the
// environment and a disk that an image can be made of.
func place(t *testing.T) (env []string, image string) {
	t.Helper()
	home, err := os.MkdirTemp("", "nv") // short, because unix sockets lie below it
	if err != nil {
		t.Fatal(err)
	}
	env = []string{
		"NIXVM_HOME=" + home, "NIXVM_SSH_CONFIG=" + filepath.Join(home, "ssh_config"), "NIXVM_ACCEL=tcg",
		"TERM=xterm-256color", "LC_ALL=C.UTF-8", "NO_COLOR=1",
	}
	over, err := testproc.Guard(home)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		nixvmd(t, env, "shutdown")
		over()
		os.RemoveAll(home)
	})
	disk := make([]byte, 4<<20)
	copy(disk[512:], "EFI PART")
	image = filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(image, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	return env, image
}

// nixvmd runs a verb that must succeed, without a terminal.
func nixvmd(t *testing.T, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command("nixvmd", args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("nixvmd %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestDestroySaysWhatWillBeLostAndAsksForTheName(t *testing.T) {
	env, image := place(t)
	nixvmd(t, env, "create", "demo", "--image", image, "--mode", "mutable", "--disk", "1G", "--no-start", "--yes")
	nixvmd(t, env, "snapshot", "demo", "one")

	x := onTerminal(t, env, "destroy", "demo")
	x.expect("deleted permanently")
	x.expect(`its disk \(1G\)`)
	x.expect("1 snapshots: one")
	x.expect("the SSH names demo and demo-admin")
	x.expect("Type demo to continue")
	x.send("yes\r")
	x.expect("the names do not match; nothing was changed")
	x.end(exitConfirm)

	x = onTerminal(t, env, "destroy", "demo")
	x.expect("Type demo to continue")
	x.send("demo\r")
	x.expect("✓ removing the VM and its disks")
	x.expect("demo is gone")
	x.end(0)
	if out := nixvmd(t, env, "--quiet", "list"); out != "" {
		t.Errorf("left: %s", out)
	}
}

func TestCreateAsksForWhatItNeedsToKnow(t *testing.T) {
	env, image := place(t)
	x := onTerminal(t, env, "create", "--image", image, "--mode", "mutable", "--no-start")
	x.expect("Name")
	x.send("Not a name\r")
	x.expect("is not a machine name")
	x.send(strings.Repeat("\x7f", len("Not a name")) + "demo\r")
	x.expect("Image")
	x.send("\r")
	x.expect("Mode")
	x.send("\r")
	x.expect("Profiles")
	x.send("x\r") // the first profile
	x.expect("Memory")
	x.send(strings.Repeat("\x7f", 4) + "none\r")
	x.expect("is not an amount of memory")
	x.send(strings.Repeat("\x7f", 4) + "4\r")
	x.expect("write 4G for 4 GiB")
	x.send("\x7f1G\r")
	x.expect("CPUs")
	x.send("\r")
	x.expect("Disk")
	x.send("\r")
	x.expect("Network")
	x.send("\r")
	x.expect("Memory: +1G")
	x.expect("Create demo\\?")
	x.send("\r")
	x.expect("demo has been created")
	x.end(0)
	out := nixvmd(t, env, "status", "demo")
	for _, want := range []string{"1024 MiB", "Profiles:", "mutable"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

func TestCreateGoesBackToTheImage(t *testing.T) {
	env, image := place(t)
	x := onTerminal(t, env, "create", "--image", image, "--no-start")
	x.expect("Name")
	x.send("demo\r")
	x.expect("Image")
	x.send("\r")
	x.expect("Mode")
	x.send("\r")
	x.expect("Profiles")
	x.expect("nvidia")
	x.send("\x1b[Z") // Shift-Tab
	x.expect("┃ Mode")
	x.send("\x1b[Z")
	x.expect("┃ Image")
	x.send("\x1b[A") // up
	x.expect("> trial")
	x.send("\r")
	x.expect("┃ Mode")
	x.send("\r")
	x.expect("Profiles")
	x.send("x\r")
	for _, question := range []string{"Memory", "CPUs", "Disk", "Network"} {
		x.expect("┃ " + question)
		x.send("\r")
	}
	x.expect("Image: +trial, immutable")
	x.expect("Create demo\\?")
	x.send("\x03")
	x.expect("nothing was created")
	x.end(exitCancelled)
}

func TestCreateWithANameOnlyAsksWhetherThatIsRight(t *testing.T) {
	env, image := place(t)
	x := onTerminal(t, env, "create", "demo", "--image", image, "--mode", "mutable", "--no-start")
	x.expect("Create demo\\?")
	x.send("\x1b[B\x1b[B\r") // down, down: Cancel
	x.expect("nothing was created")
	x.end(exitCancelled)

	x = onTerminal(t, env, "create", "demo", "--image", image, "--mode", "mutable", "--no-start")
	x.expect("Create demo\\?")
	x.send("\x03")
	x.expect("nothing was created")
	x.end(exitCancelled)
	if out := nixvmd(t, env, "--quiet", "list"); out != "" {
		t.Errorf("left: %s", out)
	}

	// Line by line, as a screen reader needs it.
	x = onTerminal(t, append(env, "ACCESSIBLE=1"), "create", "demo", "--image", image, "--mode", "mutable", "--no-start")
	x.expect("Create demo\\?")
	x.expect("1. Create it")
	x.send("1\r")
	x.expect("demo has been created")
	x.end(0)
}

func TestLineByLineAnEmptyLineTakesWhatIsOffered(t *testing.T) {
	env, image := place(t)
	x := onTerminal(t, append(env, "ACCESSIBLE=1"), "create", "--image", image, "--mode", "mutable", "--no-start")
	x.expect("Name")
	x.send("demo\r")
	for _, question := range []string{"Image", "Mode"} {
		x.expect(question)
		x.expect("Enter a number")
		x.send("\r")
	}
	x.expect("Profiles")
	x.expect("Enter a number")
	x.send("0\r")
	x.expect(`Memory .*\[2G\]:`)
	x.send("none\r")
	x.expect("is not an amount of memory")
	x.send("\r")
	x.expect(`CPUs \[2\]:`)
	x.send("3\r")
	x.expect(`Disk .*\[20G\]:`)
	x.send("\r")
	x.expect(`Network .*\[nat\]:`)
	x.send("\r")
	x.expect("Memory: +2G")
	x.expect("CPUs: +3")
	x.expect("1. Create it")
	x.send("3\r")
	x.expect("nothing was created")
	x.end(exitCancelled)
}

func TestTheEndOfTheInputMakesNothing(t *testing.T) {
	env, image := place(t)
	x := onTerminal(t, append(env, "ACCESSIBLE=1"), "create", "demo", "--image", image, "--mode", "mutable", "--no-start")
	x.expect("1. Create it")
	x.send("\x04") // C-d
	x.expect("nothing was created")
	x.end(exitCancelled)

	x = onTerminal(t, append(env, "ACCESSIBLE=1"), "create", "--no-start")
	x.expect("Name")
	x.send("\x04")
	x.expect("nothing was created")
	x.end(exitCancelled)
}

func TestPasswdAsksTwiceAndShowsNothing(t *testing.T) {
	env, image := place(t)
	nixvmd(t, env, "create", "demo", "--image", image, "--disk", "1G", "--no-start", "--yes")
	hash := filepath.Join(strings.TrimPrefix(env[0], "NIXVM_HOME="), "data", "machines", "demo", "root_password_hash")

	x := onTerminal(t, env, "passwd", "demo")
	x.expect("New password of root in demo: ")
	x.send("geheim\r")
	x.expect("The same again: ")
	x.send("anders\r")
	x.expect("the two passwords are not the same")
	x.end(exitUsage)

	x = onTerminal(t, env, "passwd", "demo")
	x.expect("New password of root in demo: ")
	x.send("\x03") // C-c
	x.expect("nothing was changed")
	x.end(exitCancelled)
	if text, err := os.ReadFile(hash); err != nil || len(text) > 0 {
		t.Errorf("it has a password: %v", err)
	}

	x = onTerminal(t, env, "passwd", "demo")
	x.expect("New password of root in demo: ")
	x.send("geheim\r")
	x.expect("The same again: ")
	x.send("geheim\r")
	x.expect("root has a new password in demo")
	x.end(0)
	if strings.Contains(x.text(), "geheim") {
		t.Error("the password was shown")
	}
	if text, err := os.ReadFile(hash); err != nil || !strings.HasPrefix(string(text), "$y$j9T$") {
		t.Errorf("it has no password: %v", err)
	}
}
