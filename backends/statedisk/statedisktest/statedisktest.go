// Package statedisktest makes state disks as nixos-vm-template does, for tests.
package statedisktest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Look returns the path of a tool, which may be one of the system administrator's.
func Look(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if fi, err := os.Stat(filepath.Join(dir, name)); err == nil && !fi.IsDir() {
			return filepath.Join(dir, name)
		}
	}
	t.Fatalf("this test needs %s\n  sudo apt-get install qemu-utils e2fsprogs fdisk", name)
	return ""
}

// Run runs a tool with an input, and returns what it prints.
func Run(t testing.TB, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), Look(t, name), args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// Make makes a disk of 128 MiB, whose file system has home/user/precious with the text
// "precious", and returns its path. mkfs are more options of mke2fs(8).
func Make(t testing.TB, mkfs ...string) string {
	t.Helper()
	dir := t.TempDir()
	raw, content, path := filepath.Join(dir, "raw"), filepath.Join(dir, "content"), filepath.Join(dir, "var.qcow2")
	err := os.MkdirAll(content+"/home/user", 0o700)
	if err == nil {
		err = os.WriteFile(content+"/home/user/precious", []byte("precious"), 0o600)
	}
	if err == nil {
		err = os.WriteFile(raw, nil, 0o600)
	}
	if err == nil {
		err = os.Truncate(raw, 128<<20)
	}
	if err != nil {
		t.Fatal(err)
	}
	Run(t, "label: gpt\nstart=2048, type=L\n", "sfdisk", "-q", raw)
	args := append([]string{"-q", "-F", "-t", "ext4", "-E", "offset=1048576", "-d", content}, mkfs...)
	Run(t, "", "mke2fs", append(args, raw, "120M")...)
	Run(t, "", "qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, path)
	return path
}
