package contract

import (
	"strconv"
	"strings"
	"testing"
)

// The GUID of an EFI system partition (UEFI specification, section 5.3.3).
const espType = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"

var diskChecks = []check{
	{name: "the first disk has a GPT with an ESP", run: func(t *testing.T, g *guest) {
		out := g.must(t, "sudo blkid -p -o export -s PART_ENTRY_SCHEME -s PART_ENTRY_TYPE "+quote(g.bootDisk(t)+"1"))
		if !strings.Contains(out, "PART_ENTRY_SCHEME=gpt") || !strings.Contains(out, "PART_ENTRY_TYPE="+espType) {
			t.Errorf("its first partition is %s", strings.ReplaceAll(out, "\n", ", "))
		}
	}},
	{name: "the root is mounted read-only, and root cannot write to it", modes: readOnlyRoot, run: notWritable("/", "/etc", "/usr")},
	{name: "/nix cannot be written", modes: immutable, run: notWritable("/nix")},
	{name: "/nix is writable and what is written lies on /var", modes: semiMutable, run: func(t *testing.T, g *guest) {
		g.must(t, "sudo touch /nix/.contract && sudo rm /nix/.contract")
		if got := g.must(t, "findmnt -n -o FSTYPE /nix"); got != "overlay" {
			t.Errorf("the type of /nix is %q, want an overlay", got)
		}
		if got := g.must(t, "findmnt -n -o OPTIONS /nix"); !strings.Contains(got, "upperdir=/var/") {
			t.Errorf("its options are %s: the upper directory is not on /var", got)
		}
	}},
	{name: "the root can be written", modes: mutable, run: func(t *testing.T, g *guest) {
		g.must(t, "sudo touch /etc/.contract /usr/.contract && sudo rm /etc/.contract /usr/.contract")
	}},
	{name: "/var is partition 1 of the second disk, ext4 with the label var", modes: readOnlyRoot, run: func(t *testing.T, g *guest) {
		source := g.must(t, "findmnt -n -o SOURCE --nofsroot /var")
		if !strings.HasSuffix(source, "b1") {
			t.Errorf("/var is mounted from %s", source)
		}
		out := g.must(t, "sudo blkid -p -o export -s TYPE -s LABEL "+quote(source))
		if !strings.Contains(out, "TYPE=ext4") || !strings.Contains(out, "LABEL=var") {
			t.Errorf("%s holds %s", source, out)
		}
	}},
	{name: "/var fills its disk", modes: readOnlyRoot, run: fills("/var")},
	{name: "the root fills its disk", modes: mutable, run: fills("/")},
	{name: "/home is /var/home, /root is /var/root", modes: readOnlyRoot, run: func(t *testing.T, g *guest) {
		for _, dir := range []string{"/home", "/root"} {
			both := strings.Fields(g.must(t, "sudo stat -c %d:%i "+dir+" /var"+dir))
			if len(both) != 2 || both[0] != both[1] {
				t.Errorf("%s and /var%s are not the same directory: %v", dir, dir, both)
			}
		}
	}},
	{name: "/tmp is a tmpfs that everybody may write to", run: func(t *testing.T, g *guest) {
		if got := g.must(t, "findmnt -n -o FSTYPE /tmp && stat -c %a /tmp"); got != "tmpfs\n1777" {
			t.Errorf("type and mode of /tmp are %q", got)
		}
	}},
	{name: "/var and the homes can be written", run: func(t *testing.T, g *guest) {
		g.must(t, "touch ~/.contract && rm ~/.contract && sudo touch /var/.contract && sudo rm /var/.contract")
	}},
}

// bootDisk is the device of the whole disk that holds the root.
func (g *guest) bootDisk(t *testing.T) string {
	t.Helper()
	source := g.must(t, "findmnt -n -o SOURCE --nofsroot /")
	return strings.TrimRight(source, "0123456789")
}

func notWritable(dirs ...string) func(*testing.T, *guest) {
	return func(t *testing.T, g *guest) {
		for _, dir := range dirs {
			if out := g.refused(t, "sudo touch "+dir+"/.contract"); !strings.Contains(out, "Read-only file system") {
				t.Errorf("writing to %s says %q", dir, out)
			}
		}
	}
}

// fills checks that the file system reaches to the end of its disk: no gap behind
// the partition, and a tenth at most for the file system's own tables.
func fills(dir string) func(*testing.T, *guest) {
	return func(t *testing.T, g *guest) {
		part := g.must(t, "findmnt -n -o SOURCE --nofsroot "+dir)
		disk := strings.TrimRight(part, "0123456789")
		number := func(command string) int64 {
			n, err := strconv.ParseInt(g.must(t, command), 10, 64)
			if err != nil {
				t.Fatalf("%s: %v", command, err)
			}
			return n
		}
		diskSize := number("sudo blockdev --getsize64 " + quote(disk))
		size := number("sudo blockdev --getsize64 " + quote(part))
		start := number("cat /sys/class/block/"+quote(strings.TrimPrefix(part, "/dev/"))+"/start") * 512
		if gap := diskSize - start - size; gap > 8<<20 {
			t.Errorf("%d MiB behind %s are unused", gap>>20, part)
		}
		if fs := number("stat -f -c %b "+dir) * number("stat -f -c %S "+dir); fs < size/10*9 {
			t.Errorf("the file system has %d MiB in a partition of %d MiB", fs>>20, size>>20)
		}
	}
}
