package statedisk

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends/statedisk/statedisktest"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/testproc"
)

// copied is the raw content of the copy that Stream gives.
func copied(t testing.TB, d *Disk) string {
	t.Helper()
	stream, err := d.Stream()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f, err := os.Create(dir + "/copy.qcow2")
	if err == nil {
		_, err = io.Copy(f, stream)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	statedisktest.Run(t, "", "qemu-img", "check", "-q", f.Name())
	statedisktest.Run(t, "", "qemu-img", "convert", "-f", "qcow2", "-O", "raw", f.Name(), dir+"/copy.raw")
	return dir + "/copy.raw"
}

func TestACopyHasTheLabelThatGuestsLookFor(t *testing.T) {
	for name, mkfs := range map[string][]string{
		"with checksums":    {"-O", "metadata_csum"},
		"without checksums": {"-O", "^metadata_csum"},
		"labelled":          {"-L", "var"},
		"another label":     {"-L", "a-long-label-16c"},
	} {
		t.Run(name, func(t *testing.T) {
			path := statedisktest.Make(t, mkfs...)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			d, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			raw := copied(t, d)
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if d.Size != 128<<20 || d.Snapshots != 0 {
				t.Errorf("%d bytes, %d snapshots", d.Size, d.Snapshots)
			}
			if got := statedisktest.Run(t, "", "blkid", "-p", "-O", "1048576", "-s", "LABEL", "-o", "value", raw); strings.TrimSpace(got) != "var" {
				t.Errorf("label %q", got)
			}
			// e2fsck knows no offset.
			part := raw + ".part"
			statedisktest.Run(t, "", "dd", "if="+raw, "of="+part, "bs=1M", "skip=1", "status=none")
			statedisktest.Run(t, "", "e2fsck", "-fn", part)
			if got := statedisktest.Run(t, "", "debugfs", "-R", "cat /home/user/precious", part); !strings.Contains(got, "precious") {
				t.Errorf("the file says %q", got)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the disk was changed: %v", err)
			}
		})
	}
}

func TestADiskOfARunningVMIsNotRead(t *testing.T) {
	path := statedisktest.Make(t)
	stdin, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	// As QEMU does, it has the disk open for writing until its input ends.
	cmd := exec.CommandContext(t.Context(), statedisktest.Look(t, "qemu-io"), "-f", "qcow2", path)
	cmd.Stdin = stdin
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := testproc.Start(t, cmd)
	stdin.Close()
	if _, err := io.ReadFull(out, make([]byte, len("qemu-io>"))); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !problem.HasCode(err, problem.VMRunning) {
		t.Errorf("got %v", err)
	}
	feed.Close()
	go io.Copy(io.Discard, out) //nolint:errcheck // it has ended then
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	// And nobody starts it meanwhile.
	write := exec.CommandContext(t.Context(), statedisktest.Look(t, "qemu-io"), "-f", "qcow2", "-c", "write 0 512", path)
	if out, err := write.CombinedOutput(); err == nil || !strings.Contains(string(out), "lock") {
		t.Errorf("written to while it is read: %v\n%s", err, out)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	statedisktest.Run(t, "", "qemu-io", "-f", "qcow2", "-c", "read 0 512", path)
}

func TestSnapshotsAreCountedAndStay(t *testing.T) {
	path := statedisktest.Make(t)
	statedisktest.Run(t, "", "qemu-img", "snapshot", "-c", "one", path)
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.Snapshots != 1 {
		t.Errorf("%d snapshots", d.Snapshots)
	}
	copied(t, d)
}

func TestWhatIsNoStateDiskIsRefused(t *testing.T) {
	good := statedisktest.Make(t)
	dir := t.TempDir()
	damaged := func(name string, at int64, data ...byte) string {
		raw, path := filepath.Join(dir, name+".raw"), filepath.Join(dir, name)
		statedisktest.Run(t, "", "qemu-img", "convert", "-O", "raw", good, raw)
		f, err := os.OpenFile(raw, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteAt(data, at)
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		statedisktest.Run(t, "", "qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, path)
		return path
	}
	const super = 1<<20 + superAt
	empty := filepath.Join(dir, "empty")
	statedisktest.Run(t, "", "qemu-img", "create", "-q", "-f", "qcow2", empty, "64M")
	overlay := filepath.Join(dir, "overlay")
	statedisktest.Run(t, "", "qemu-img", "create", "-q", "-f", "qcow2", "-b", good, "-F", "qcow2", overlay)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(good, link); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		damaged("mounted", super+superIncompat, 0xc6, 2): "shut it down",
		damaged("magic", super+superMagic, 0):            "no ext4",
		damaged("sum", super+superLabel, 'x'):            "checksum",
		damaged("gpt", 512, 'X'):                         "GPT",
		damaged("table", 512+72, 0xff, 0xff, 0xff, 0xff): "GPT",
		empty:                      "GPT",
		overlay:                    "backing file",
		link:                       "too many levels",
		text:                       "cannot be read",
		"/dev/zero":                "not a regular file",
		dir:                        "not a regular file",
		filepath.Join(dir, "none"): "no such file",
	} {
		d, err := Open(path)
		if err == nil {
			d.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", filepath.Base(path), err, want)
		}
	}
}
