//go:build long

package sshconfig

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// newerSSH is the ssh of Debian's newest suite, unpacked beside the test's cache and
// run with its own libraries; page is its manual page.
func newerSSH(t *testing.T) (ssh, page string) {
	t.Helper()
	for _, tool := range []string{"apt-get", "dpkg"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("a newer OpenSSH comes from Debian's archive, and there is no %s here", tool)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(cache, "nixvm-test", "openssh-sid")
	page = filepath.Join(dir, "root", manualPage)
	ssh = filepath.Join(dir, "bin", "ssh")
	if exists(ssh) && exists(page) {
		return ssh, page
	}
	work := dir + ".new"
	if err := os.RemoveAll(work); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"sources", "lists/partial", "cache/archives/partial", "debs", "bin"} {
		if err := os.MkdirAll(filepath.Join(work, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	archive, err := exec.Command("../scripts/debian-archive").Output()
	if err != nil {
		t.Skipf("a newer OpenSSH comes from Debian's archive: %v", err)
	}
	source := "Types: deb\nURIs: " + strings.TrimSpace(string(archive)) + "\nSuites: sid\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
	if err := os.WriteFile(filepath.Join(work, "sources", "sid.sources"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	apt := func(args ...string) {
		cmd := exec.Command("apt-get", append([]string{
			"-q", "-o", "Dir::Etc::SourceList=/dev/null", "-o", "Dir::Etc::SourceParts=" + work + "/sources",
			"-o", "Dir::State::Lists=" + work + "/lists", "-o", "Dir::Cache=" + work + "/cache", "-o", "APT::Sandbox::User=root",
		}, args...)...)
		cmd.Dir = filepath.Join(work, "debs")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("Debian's archive does not give a newer OpenSSH: apt-get %s: %v\n%s", args[0], err, out)
		}
	}
	apt("update")
	apt("download", "openssh-client", "libc6", "libssl3t64", "libselinux1", "libpcre2-8-0", "zlib1g")
	debs, err := filepath.Glob(filepath.Join(work, "debs", "*.deb"))
	if err != nil || len(debs) == 0 {
		t.Fatalf("nothing was downloaded: %v", err)
	}
	for _, deb := range debs {
		if out, err := exec.Command("dpkg", "-x", deb, filepath.Join(work, "root")).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	loader, err := filepath.Glob(filepath.Join(work, "root/usr/lib/*/ld-linux*"))
	if err != nil || len(loader) == 0 {
		t.Skipf("no loader in %s", work)
	}
	at := func(path string) string { return strings.Replace(path, work, dir, 1) }
	script := "#!/bin/sh\nexec " + at(loader[0]) + " --library-path " + at(filepath.Dir(loader[0])) + " " + dir + "/root/usr/bin/ssh \"$@\"\n"
	if err := os.WriteFile(filepath.Join(work, "bin", "ssh"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(work, dir); err != nil {
		t.Fatal(err)
	}
	return ssh, page
}

// Everything that asks ssh, asked of the newest.
func TestLongNewestOpenSSH(t *testing.T) {
	ssh, page := newerSSH(t)
	version, err := exec.Command(ssh, "-V").CombinedOutput()
	if err != nil {
		t.Fatalf("%v %s", err, version)
	}
	t.Logf("%s", version)
	t.Setenv("PATH", filepath.Dir(ssh)+":"+os.Getenv("PATH"))
	t.Run("every keyword is taken care of", func(t *testing.T) { checkKeywords(t, ssh, page) })
	t.Run("hostile values", func(t *testing.T) { checkHostile(t, ssh) })
	t.Run("refused by the user's own line", func(t *testing.T) {
		c := newConfig(t)
		writeUserConfig(t, c, "Host *\n  RefuseConnection \"not today\"\n")
		_, err := c.Apply(t.Context(), hosts("demo"))
		if err == nil || !strings.Contains(err.Error(), "not today") {
			t.Errorf("%v", err)
		}
	})
	for name, test := range map[string]func(*testing.T){
		"kinds of configurations": TestApplyToEveryKindOfUserConfig,
		"odd paths":               TestOddPaths,
		"not accepted":            TestConfigThatSSHDoesNotAccept,
		"shadowed":                TestShadowedEntryIsNamedAndRolledBack,
		"masters":                 TestMastersOfARealGuest,
		"accounts":                TestAccountsDoNotShareAConnection,
		"old path":                TestMasterUnderTheOldPathIsClosed,
		"forwards":                TestForwardsOfALiveMaster,
		"black hole":              TestCloseMastersOverABlackHole,
		"programs":                TestRealProgramsUnderAHostileHostStar,
		"read by itself":          TestTheConfigurationThatSSHReadsByItself,
	} {
		t.Run(name, test)
	}
}
