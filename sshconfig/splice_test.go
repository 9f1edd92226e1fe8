package sshconfig

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestSplice(t *testing.T) {
	c := newConfig(t)
	lines := markerLine + "\n" + c.IncludeLine() + "\n"
	crlf := strings.ReplaceAll(lines, "\n", "\r\n")
	for name, tc := range map[string]struct{ data, want string }{
		"empty":                      {"", lines},
		"first even before comments": {"# mine\nHost a\n", lines + "# mine\nHost a\n"},
		"CRLF like the file":         {"Host a\r\nHost b\n", crlf + "Host a\r\nHost b\n"},
		"after a byte order mark":    {"\xef\xbb\xbfHost a\n", "\xef\xbb\xbf" + lines + "Host a\n"},
		"no newline at all":          {"Host a", lines + "Host a"},
		"already there":              {lines + "Host a\n", lines + "Host a\n"},
		"below other Includes":       {"Include x\n# c\n" + lines + "Host a\n", "Include x\n# c\n" + lines + "Host a\n"},
		"moved below a Host":         {"Host a\n" + lines, lines + "Host a\n"},
		"moved below an option":      {"User me\n" + lines + "Host a", lines + "User me\nHost a"},
		"another instance's":         {markerLine + "\nInclude /other\n", lines + markerLine + "\nInclude /other\n"},
		"by hand but below a Host":   {"Host a\n" + c.IncludeLine() + "\n", lines + "Host a\n" + c.IncludeLine() + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.splice("config", []byte(tc.data))
			if err != nil || string(got) != tc.want {
				t.Errorf("got %q, %v\nwant %q", got, err, tc.want)
			}
		})
	}
}

func TestSpliceRefusesBrokenMarkers(t *testing.T) {
	c := newConfig(t)
	include := c.IncludeLine()
	for name, tc := range map[string]struct{ data, line string }{
		"marker at the end":             {"Host a\n" + markerLine, "line 2"},
		"marker without its Include":    {"Host a\n" + markerLine + "\nHost b\n" + include + "\n", "line 2"},
		"marker twice in a row":         {markerLine + "\n" + markerLine + "\n" + include + "\n", "line 1"},
		"marker and a blank line":       {markerLine + "\n\n" + include + "\n", "line 1"},
		"marker and two files":          {markerLine + "\n" + include + " more\n", "line 1"},
		"the whole twice":               {markerLine + "\n" + include + "\n\n" + markerLine + "\r\n" + include + "\n", "lines 1, 4"},
		"an indented and shortened one": {"\t" + markerPrefix + "\nHost a", "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			writeUserConfig(t, c, tc.data)
			_, err := c.Apply(t.Context(), hosts("demo"))
			wantCode(t, err, problem.SSHConfigMalformed, tc.line, "nothing was changed")
			wantCode(t, c.Remove(t.Context()), problem.SSHConfigMalformed, tc.line)
			if got := read(t, c.UserConfig()); got != tc.data {
				t.Errorf("written: %q", got)
			}
			if exists(c.ConfigFile()) || exists(c.statePath()) {
				t.Error("something of ours was written")
			}
		})
	}
}

// anyConfig draws bytes that look like a configuration, or like nothing.
func anyConfig() *rapid.Generator[string] {
	line := rapid.SampledFrom([]string{
		"Host *", "Host a b", "host=x", "Match all", "Match host a", "  User me", "\tPort 99", "# comment", "", " ", "Include x", "User q",
		"\"Host\" y", "HostName \"a b\"", markerPrefix[:8], "\xff\x00", "Host \\", "\r", "\xef\xbb\xbf",
	})
	eol := rapid.SampledFrom([]string{"\n", "\n", "\r\n", "\n\n", "\r"})
	structured := rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		for range rapid.IntRange(0, 8).Draw(t, "lines") {
			b.WriteString(line.Draw(t, "line") + eol.Draw(t, "eol"))
		}
		return b.String() + rapid.SampledFrom([]string{"", "Host last", "\r"}).Draw(t, "tail")
	})
	return rapid.OneOf(structured, rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
}

// For any bytes, and wherever the user edits meanwhile, taking our line
// out leaves what would be there without it.
func TestSpliceThenUnspliceIsIdentity(t *testing.T) {
	c := newConfig(t)
	rapid.Check(t, func(t *rapid.T) {
		head, data, tail := "", anyConfig().Draw(t, "config"), ""
		with, err := c.splice("config", []byte(data))
		if err != nil {
			t.Fatalf("splice: %v", err)
		}
		if again, err := c.splice("config", with); err != nil || !bytes.Equal(again, with) {
			t.Fatalf("splicing twice: %q %v", again, err)
		}
		if rapid.Bool().Draw(t, "edit") {
			head, tail = rapid.SampledFrom([]string{"", "# new\n", "Host new\r\n"}).Draw(t, "head"), anyConfig().Draw(t, "tail")
		}
		if bomLen(with) > 0 {
			head = "" // a mark that is no longer first is text
		}
		edited := head + string(with) + tail
		got, err := c.unsplice("config", []byte(edited))
		if err != nil {
			t.Fatalf("unsplice: %v", err)
		}
		if want := head + data + tail; string(got) != want {
			t.Fatalf("got  %q\nwant %q", got, want)
		}
	})
}

// The same through the real files.
func TestApplyThenRemoveIsIdentity(t *testing.T) {
	c := newConfig(t, func(o *Options) { o.SSH = alwaysAgrees(t) })
	rapid.Check(t, func(rt *rapid.T) {
		data := anyConfig().Draw(rt, "config")
		writeUserConfig(t, c, data)
		if _, err := c.Apply(t.Context(), hosts("demo")); err != nil && !problem.HasCode(err, problem.SSHNameTaken) {
			if !problem.HasCode(err, problem.SSHShadowed) {
				rt.Fatalf("apply: %v", err)
			}
		}
		if err := c.Remove(t.Context()); err != nil {
			rt.Fatalf("remove: %v", err)
		}
		if got := read(t, c.UserConfig()); got != data {
			rt.Fatalf("got  %q\nwant %q", got, data)
		}
	})
}

// alwaysAgrees is an ssh that resolves our file alone, so that arbitrary bytes
// in the user's are no error.
func alwaysAgrees(t *testing.T) string {
	t.Helper()
	path := shortDir(t) + "/ssh"
	script := "#!/bin/sh\n# -G -F FILE ALIAS\nexec ssh -G -F \"${3%/.ssh/config}/nixvm/state/ssh/config\" \"$4\"\n"
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// resolveAll is the whole answer of ssh -G, or its complaint.
func resolveAll(config, alias string) (string, error) {
	out, err := exec.Command("ssh", "-G", "-F", config, alias).CombinedOutput()
	return string(out), err
}

// unsafeForSSH tells input that must not be given to ssh -G: it could run
// commands, ask the network or read devices.
func unsafeForSSH(data []byte) bool {
	lower := bytes.ToLower(data)
	for _, word := range []string{"exec", "canonical", "/dev", "/proc", "localnetwork", "pkcs11", "securitykey", "known"} {
		if bytes.Contains(lower, []byte(word)) {
			return true
		}
	}
	return false
}

// FuzzSplice is differential against ssh: the user's own hosts resolve the same
// with our line and without, ours resolve to ours, and removing gives the bytes
// back.
func FuzzSplice(f *testing.F) {
	for _, seed := range []string{
		"", "Host *\n User me\n", "Host a\r\n  User x\r\n", "User me\nHost a", "Match all\n User me\n", "Match host a\n Port 9\nHost b\n",
		"Host=a\nUser=\"x\"\n", "Include /nowhere\nHost a\n", "Host a !b\n\n# c\n", "Match final\n User z\n", "host *\nproxyjump j\n", "\xef\xbb\xbfHost a\n",
		"Host a\n IdentityFile ~/x\n RemoteForward 1 b:2\n", "Host \"a\" # x\n", "Port 99\nHost *\n Port 98\n", "Match user root\n User x\n", "Bogus\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 || unsafeForSSH(data) || bytes.Contains(data, []byte(markerPrefix)) {
			t.Skip("not for ssh -G")
		}
		c := newConfig(t)
		writeUserConfig(t, c, string(data))
		before := map[string]string{}
		var rejected error
		for _, alias := range []string{"a", "b", "zz"} {
			before[alias], rejected = resolveAll(c.UserConfig(), alias)
		}
		_, err := c.Apply(t.Context(), hosts("demo"))
		if rejected != nil || bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
			if err == nil {
				t.Fatalf("ssh rejects this and apply does not: %v", rejected)
			}
			if got := read(t, c.UserConfig()); got != string(data) {
				t.Fatalf("not restored: %q", got)
			}
			return
		}
		if problem.HasCode(err, problem.SSHNameTaken) {
			return
		}
		if err != nil {
			t.Fatalf("apply: %v", err)
		}
		for alias, want := range before {
			if got, err := resolveAll(c.UserConfig(), alias); err != nil || got != want {
				t.Fatalf("%s resolves differently: %v\n%s\nbefore:\n%s", alias, err, got, want)
			}
		}
		if err := c.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := read(t, c.UserConfig()); got != string(data) {
			t.Fatalf("left %q", got)
		}
	})
}
