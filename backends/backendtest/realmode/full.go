package realmode

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// answerLimit ends a hang; no test is about time.
const answerLimit = 120 * time.Second

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// SmallDisk mounts a file system of 32 MiB on a directory until the end of the test. end
// is called before: what runs there must not.
func SmallDisk(t testing.TB, dir string, mode os.FileMode, end func()) {
	t.Helper()
	must(t, os.MkdirAll(dir, mode))
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"); err != nil {
		t.Skipf("a small file system needs root: mount: %v", err)
	}
	must(t, os.Chmod(dir, mode))
	t.Cleanup(func() {
		end()
		must(t, unix.Unmount(dir, unix.MNT_DETACH))
	})
}

// TakeSpace fills a file system but for left bytes, and returns what gives it back.
func TakeSpace(t testing.TB, dir string, left int64) (free func()) {
	t.Helper()
	var st unix.Statfs_t
	must(t, unix.Statfs(dir, &st))
	f, err := os.Create(filepath.Join(dir, "ballast"))
	must(t, err)
	defer f.Close()
	must(t, unix.Fallocate(int(f.Fd()), 0, 0, int64(st.Bavail)*st.Bsize-left))
	return func() { must(t, os.Remove(f.Name())) }
}

// Begin types until stop is called, which waits for it: bytes that are typed before the
// guest listens are lost. Each further one makes the guest write another block.
func Begin(c io.Writer) (stop func()) {
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			if _, err := c.Write([]byte("w")); err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-over:
				return
			}
		}
	}()
	return func() { close(over); <-ended }
}

// Answer waits for what Writer's guest says: 'd' or 'e'; 0 at the end of the console.
func Answer(t testing.TB, c io.Reader) byte {
	t.Helper()
	answer := make(chan byte, 1)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := c.Read(buf)
			if i := bytes.LastIndexAny(buf[:n], "de"); i >= 0 {
				answer <- buf[i]
				return
			}
			if err != nil {
				answer <- 0
				return
			}
		}
	}()
	select {
	case b := <-answer:
		return b
	case <-time.After(answerLimit):
		t.Fatal("the guest does not answer")
		return 0
	}
}

// CheckWritten checks a qcow2 state disk, and all that Writer's guest wrote there.
func CheckWritten(t testing.TB, disk string) {
	t.Helper()
	raw := filepath.Join(t.TempDir(), "raw")
	for _, args := range [][]string{{"check", "-q", disk}, {"convert", "-O", "raw", disk, raw}} {
		if out, err := exec.Command("qemu-img", args...).CombinedOutput(); err != nil {
			t.Fatalf("qemu-img %v: %v: %s", args, err, out)
		}
	}
	content, err := os.ReadFile(raw)
	must(t, err)
	first := content[firstWritten*512 : (firstWritten+writtenBlock)*512]
	if len(bytes.Trim(first, "\x00")) == 0 {
		t.Fatal("the guest has written nothing")
	}
	for at := firstWritten * 512; at < lastWritten*512; at += len(first) {
		if !bytes.Equal(content[at:at+len(first)], first) {
			t.Fatalf("what the guest wrote at %d is lost", at)
		}
	}
}
