package qemuimg

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// sharing is a directory on a file system that shares blocks: an XFS in a file.
func sharing(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"mkfs.xfs", "mount", "umount"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed: whether copies are thin on XFS is not tested", program)
		}
	}
	file, dir := filepath.Join(t.TempDir(), "xfs"), t.TempDir()
	must(t, os.WriteFile(file, nil, 0o600))
	must(t, os.Truncate(file, 400<<20))
	if out, err := exec.CommandContext(t.Context(), "mkfs.xfs", "-q", "-m", "reflink=1", file).CombinedOutput(); err != nil {
		t.Skipf("there is no XFS here that shares blocks: %v: %s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), "mount", "-o", "loop", file, dir).CombinedOutput(); err != nil {
		t.Skipf("an XFS cannot be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// writer is a process that has a disk open, as a VM has.
type writer struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

func openDisk(t *testing.T, disk string) *writer {
	t.Helper()
	cmd := exec.Command("qemu-io", "-f", "qcow2", disk)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("qemu-io: %v", err)
		}
	})
	return &writer{t, in, bufio.NewReader(out)}
}

// do runs a command, and waits until it is done.
func (w *writer) do(command string) {
	w.t.Helper()
	if _, err := fmt.Fprintln(w.in, command); err != nil {
		w.t.Fatal(err)
	}
	for {
		line, err := w.out.ReadString('\n')
		if err != nil || strings.Contains(line, "failed") {
			w.t.Fatalf("%s: %q, %v", command, line, err)
		}
		if strings.Contains(line, "ops;") {
			return
		}
	}
}

func used(t *testing.T, dir string) int64 {
	t.Helper()
	var st unix.Statfs_t
	must(t, unix.Statfs(dir, &st))
	return int64(st.Blocks-st.Bfree) * st.Bsize
}

// While another process writes to a disk, a copy of its snapshot has the content of that
// time, and no other. Where the file system can, it takes no space.
func TestACopyOfASnapshotOfADiskInUse(t *testing.T) {
	for where, thin := range map[string]bool{"on XFS": true, "elsewhere": false} {
		t.Run(where, func(t *testing.T) {
			i, dir := real(t), t.TempDir()
			if thin {
				dir = sharing(t)
			}
			disk, to := filepath.Join(dir, "disk.qcow2"), filepath.Join(dir, "copy.qcow2")
			must(t, i.NewState(t.Context(), disk, 256<<20))
			qemuIO(t, "write -P 5 8M 64M", disk)
			for _, name := range []string{"older", "wanted"} {
				must(t, i.TakeSnapshot(t.Context(), disk, name))
			}
			w := openDisk(t, disk)
			w.do("write -P 6 9M 1M")
			w.do("write -P 7 128M 1M")
			info, err := i.InfoShared(t.Context(), disk)
			must(t, err)
			before := used(t, dir)
			must(t, i.Copy(t.Context(), disk, true, info, info.Snapshots[1].ID, to, nil))
			if grown := used(t, dir) - before; thin && grown > 4<<20 {
				t.Errorf("the copy of 64 MiB takes %d KiB", grown>>10)
			}
			w.do("write -P 8 10M 1M")
			for _, command := range []string{"read -P 5 8M 64M", "read -P 0 128M 1M"} {
				qemuIO(t, command, to)
			}
			copied, err := i.Info(t.Context(), to, "qcow2")
			if err != nil || len(copied.Snapshots) > 0 || copied.Backing != "" {
				t.Errorf("the copy is %+v, %v", copied, err)
			}
			qemuIO(t, "write -P 9 8M 64M", to)
			w.do("read -P 6 9M 1M")
			if out, err := exec.CommandContext(t.Context(), "qemu-img", "check", to).CombinedOutput(); err != nil {
				t.Errorf("qemu-img check: %v: %s", err, out)
			}
		})
	}
}
