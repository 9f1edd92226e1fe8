package trial

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
	"github.com/nixvm/nixvm/nixbuild"
)

// vertex is what progress reports of a build are about.
const vertex = "image"

// tool runs the programs of one build. Arguments go to exec as they are; no
// shell sees them.
type tool struct {
	report progress.Reporter
	env    []string // added to the environment
	prefix []string // put before every command: fakeroot, when not root
}

// run runs one program to its end. Its output goes line by line to the reporter
// and, its last lines, into the error.
func (t tool) run(ctx context.Context, stdin string, name string, args ...string) error {
	argv := append(append([]string{}, t.prefix...), append([]string{name}, args...)...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	// Its own process group, so that cancelling ends the children too:
	// mmdebstrap starts many.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	// A program that does not heed it is killed in the end.
	cmd.WaitDelay = 30 * time.Second
	mark := rand.Text()
	cmd.Env = append(append(os.Environ(), "LC_ALL=C", "PATH="+searchPath(), markName+"="+mark), t.env...)
	cmd.Stdin = strings.NewReader(stdin)
	tail := &tailWriter{report: t.report}
	cmd.Stdout, cmd.Stderr = tail, tail
	err := cmd.Run()
	tail.flush()
	if err == nil {
		return nil
	}
	// The group has ended, or was made to; what has left it has not.
	left := reap(ctx, mark)
	if ctx.Err() != nil {
		return errors.Join(fmt.Errorf("%s: %w", name, ctx.Err()), left)
	}
	if strings.Contains(tail.text(), "No space left on device") || errors.Is(err, syscall.ENOSPC) {
		return diskFull(fmt.Errorf("%s: %w", name, err))
	}
	return problem.New(problem.ImageBuildFailed, "%s failed (%w): %s", name, err, tail.text()).
		WithHint("the full output is in the log of the operation")
}

func diskFull(err error) error {
	return problem.New(problem.DiskFull, "no space left while building the image: %w", err).
		WithHint("free some space (a build temporarily needs 3 GB), or remove images that no machine uses")
}

// searchPath is the PATH of the programs: sfdisk and mke2fs lie in the sbin
// directories, which a plain user's PATH may not name.
func searchPath() string { return os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin:/sbin" }

func find(program string) bool {
	for dir := range strings.SplitSeq(searchPath(), ":") {
		if fi, err := os.Stat(dir + "/" + program); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return true
		}
	}
	return false
}

// tailWriter passes whole lines on and keeps the last ones.
type tailWriter struct {
	report progress.Reporter
	buf    bytes.Buffer
	last   []string
}

func (w *tailWriter) Write(p []byte) (int, error) {
	w.buf.Write(p)
	for {
		line, err := w.buf.ReadString('\n')
		if errors.Is(err, io.EOF) {
			w.buf.WriteString(line) // an unfinished line waits for its end
			return len(p), nil
		}
		w.line(strings.TrimRight(line, "\r\n"))
	}
}

func (w *tailWriter) line(l string) {
	w.report.Log(vertex, l)
	if w.last = append(w.last, l); len(w.last) > 8 {
		w.last = w.last[1:]
	}
}

func (w *tailWriter) flush() {
	if w.buf.Len() > 0 {
		w.line(w.buf.String())
		w.buf.Reset()
	}
}

func (w *tailWriter) text() string { return strings.Join(w.last, " | ") }

// programs are what a build runs, with the Debian package of each.
var programs = []struct{ program, pkg string }{
	{"mmdebstrap", "mmdebstrap"},
	{"apt-get", "apt"},
	{"tar", "tar"},
	{"mke2fs", "e2fsprogs"},
	{"sfdisk", "fdisk"},
	{"mkfs.vfat", "dosfstools"},
	{"mcopy", "mtools"},
	{"qemu-img", "qemu-utils"},
}

// Check says which programs are missing. A plain user also needs a way to own
// the guest's files: fakeroot for the file system, and for mmdebstrap either
// subordinate ids (uidmap, /etc/subuid) or fakechroot.
func (b *Builder) Check() []nixbuild.Missing {
	var out []nixbuild.Missing
	miss := func(program, pkg string) {
		out = append(out, nixbuild.Missing{Program: program, Fix: "sudo apt-get install " + pkg})
	}
	for _, p := range programs {
		if !find(p.program) {
			miss(p.program, p.pkg)
		}
	}
	if os.Getuid() != 0 {
		if !find("fakeroot") {
			miss("fakeroot", "fakeroot")
		}
		if !find("fakechroot") && !canUnshare() {
			miss("fakechroot", "fakechroot")
		}
	}
	return out
}

// canUnshare: mmdebstrap's unshare mode needs newuidmap and ids of this user.
func canUnshare() bool {
	if !find("newuidmap") {
		return false
	}
	f, err := os.Open("/etc/subuid")
	if err != nil {
		return false
	}
	defer f.Close()
	prefix := os.Getenv("USER") + ":"
	for s := bufio.NewScanner(f); s.Scan(); {
		if prefix != ":" && strings.HasPrefix(s.Text(), prefix) || strings.HasPrefix(s.Text(), fmt.Sprintf("%d:", os.Getuid())) {
			return true
		}
	}
	return false
}

// missing turns what Check found into the error of a build.
func missing(found []nixbuild.Missing) error {
	var names, pkgs []string
	for _, m := range found {
		names = append(names, m.Program)
		pkgs = append(pkgs, strings.TrimPrefix(m.Fix, "sudo apt-get install "))
	}
	return problem.New(problem.BackendMissing, "building the trial image needs %s", strings.Join(names, ", ")).
		WithHint("sudo apt-get install %s", strings.Join(pkgs, " "))
}
