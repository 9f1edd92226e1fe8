package machine

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ruins are what power cuts and bad disks make of a file.
func ruins(whole []byte) map[string][]byte {
	return map[string][]byte{
		"empty": {}, "truncated": whole[:len(whole)/2], "zeros": make([]byte, len(whole)),
		"garbage": []byte("\x7fELF\x02\x00\x01"),
	}
}

// damagedMachine makes a machine with all that the medium carries, and what its VM knows.
func damagedMachine(t *testing.T) (*Store, Machine, Known) {
	t.Helper()
	s, err := OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), Draft{
		Name: "demo", Profiles: []string{"dev"}, Mode: SemiMutable, Image: ImageTrial, MemoryMiB: 512, VCPUs: 1, DiskBytes: 8 << 30,
		Network: Network{Kind: "nat"}, TCPPorts: []uint16{8080},
	}); err != nil {
		t.Fatal(err)
	}
	m, err := s.EnsureIdentity("demo")
	if err != nil {
		t.Fatal(err)
	}
	medium, err := Medium(m, 7)
	if err != nil {
		t.Fatal(err)
	}
	return s, m, Known{
		UUID: m.UUID, MAC: m.MAC, Medium: medium,
		Settings: SettingsOf(m.Profiles, m.Mode, m.Image, "test", m.DiskBytes),
	}
}

func TestRestoreGivesTheMachineItsIdentityBack(t *testing.T) {
	s, before, known := damagedMachine(t)
	for _, file := range once {
		path := filepath.Join(s.Dir("demo"), file)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all := ruins(whole)
		if file == HostnameFile {
			delete(all, "truncated") // half a name is a name
		}
		for _, how := range slices.Sorted(maps.Keys(all)) {
			if err := os.WriteFile(path, all[how], 0o600); err != nil {
				t.Fatal(err)
			}
			restored, err := s.Restore("demo", known)
			if err != nil || len(restored) != 1 || restored[0].File != file {
				t.Fatalf("%s, %s: %+v, %v", file, how, restored, err)
			}
			if kept, err := os.ReadFile(restored[0].Kept); err != nil || !bytes.Equal(kept, all[how]) {
				t.Errorf("%s, %s: %d bytes were kept, %v", file, how, len(kept), err)
			}
			after, err := s.Read("demo")
			if diff := cmp.Diff(before, after, cmp.AllowUnexported(before.Network)); diff != "" || err != nil {
				t.Errorf("%s, %s: %v\n%s", file, how, err, diff)
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if restored, err := s.Restore("demo", known); err != nil || len(restored) != 1 || restored[0].Kept != "" {
			t.Errorf("%s is gone: %+v, %v", file, restored, err)
		}
	}
	if fi, err := os.Stat(filepath.Join(s.Dir("demo"), HostKeyFile)); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the host key: %v, %v", fi.Mode(), err)
	}
}

func TestRestoreOfSettings(t *testing.T) {
	s, before, known := damagedMachine(t)
	for _, file := range []string{ProfileFile, MutableFile, ImageFile, DiskSizeFile, TCPPortsFile} {
		path := filepath.Join(s.Dir("demo"), file)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for how, text := range map[string][]byte{"zeros": make([]byte, len(whole)), "garbage": ruins(whole)["garbage"], "empty": {}} {
			if how == "empty" && file == TCPPortsFile {
				continue // that is how a person closes all ports
			}
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Restore("demo", known); err != nil {
				t.Fatal(err)
			}
			after, err := s.Read("demo")
			if err != nil || after.Mode != before.Mode || after.Image != before.Image || after.DiskBytes != before.DiskBytes ||
				!slices.Equal(after.Profiles, before.Profiles) || !slices.Equal(after.TCPPorts, before.TCPPorts) {
				t.Errorf("%s, %s: %+v, %v", file, how, after, err)
			}
		}
	}
}

// TestRestoreLeavesWhatAPersonWrote: a slip is told with file and line, and kept.
func TestRestoreLeavesWhatAPersonWrote(t *testing.T) {
	s, _, known := damagedMachine(t)
	for file, text := range map[string]string{
		DiskSizeFile: "8 Gigs\n", ProfileFile: "dev, what?\n", MemoryFile: "lots\n", TCPPortsFile: "", NetworkFile: "",
	} {
		path := filepath.Join(s.Dir("demo"), file)
		was, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if restored, err := s.Restore("demo", known); err != nil || len(restored) != 0 {
			t.Errorf("%s: %+v, %v", file, restored, err)
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != text {
			t.Errorf("%s is %q, %v", file, now, err)
		}
		if err := os.WriteFile(path, was, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// And nothing comes from a damaged medium: one that is cut off, and one with
	// another file overwritten.
	if err := os.Remove(filepath.Join(s.Dir("demo"), MachineIDFile)); err != nil {
		t.Fatal(err)
	}
	whole := known.Medium
	cut, overwritten := whole[:48<<10], bytes.Replace(whole, []byte("PRIVATE KEY"), []byte("PRIVATE K\x00Y"), 1)
	for _, known.Medium = range [][]byte{cut, overwritten} {
		if restored, err := s.Restore("demo", known); err != nil || len(restored) != 0 {
			t.Errorf("%+v, %v", restored, err)
		}
	}
}

// TestRestoreLeavesWhatItCannotRead: a file that cannot be opened now says nothing
// about its content, and nothing about the other files.
func TestRestoreLeavesWhatItCannotRead(t *testing.T) {
	for _, file := range []string{UserKeysFile, UUIDFile} {
		s, _, known := damagedMachine(t)
		path := filepath.Join(s.Dir("demo"), file)
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		away := filepath.Join(t.TempDir(), "not", "mounted")
		if err := os.Symlink(away, path); err != nil {
			t.Fatal(err)
		}
		mac := filepath.Join(s.Dir("demo"), MACFile)
		changed := []byte("52:54:00:00:00:01\n") // by a person, for the next start
		if err := os.WriteFile(mac, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if restored, err := s.Restore("demo", known); err != nil || len(restored) != 0 {
			t.Errorf("%s leads nowhere: %+v, %v", file, restored, err)
		}
		if to, err := os.Readlink(path); err != nil || to != away {
			t.Errorf("%s leads to %q now, %v", file, to, err)
		}
		if now, err := os.ReadFile(mac); err != nil || !bytes.Equal(now, changed) {
			t.Errorf("%s is %q, %v", MACFile, now, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		want := 0
		if file == UUIDFile { // it has to be there, and no file is
			want = 1
		}
		if restored, err := s.Restore("demo", known); err != nil || len(restored) != want {
			t.Errorf("%s is a directory: %+v, %v", file, restored, err)
		}
	}
}

func TestGenerationOfAMedium(t *testing.T) {
	_, _, known := damagedMachine(t)
	if n, err := Generation(known.Medium); err != nil || n != 7 {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := Generation(nil); err == nil {
		t.Errorf("%d of nothing", n)
	}
}
