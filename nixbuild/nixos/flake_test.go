package nixos

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/nixbuild"
)

func shipped(content map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range content {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

// visible is what the user sees in the directory.
func visible(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if err == nil && d.Name() == shippedDir {
				return filepath.SkipDir
			}
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		out[rel] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestALaterVersionNeverOverwritesWhatTheUserHasChanged(t *testing.T) {
	type tree = map[string]string
	for name, tt := range map[string]struct {
		before, edit, after tree // shipped first, then what the user makes of it ("-" removes), then shipped
		want                tree
		said                string
	}{
		"first use":                         {after: tree{"flake.nix": "1", "lib/a.nix": "1"}, want: tree{"flake.nix": "1", "lib/a.nix": "1"}},
		"first use beside an own profile":   {edit: tree{"profiles/mine.nix": "m"}, after: tree{"flake.nix": "1"}, want: tree{"flake.nix": "1", "profiles/mine.nix": "m"}},
		"first use, a name is taken":        {edit: tree{"profiles/rust.nix": "mine"}, after: tree{"profiles/rust.nix": "1"}, want: tree{"profiles/rust.nix": "mine", "profiles/rust.nix.new": "1"}, said: "rust.nix is kept"},
		"a flake of the user's own making":  {edit: tree{"image.nix": "mine"}, after: tree{"flake.nix": "1", "image.nix": "1"}, want: tree{"image.nix": "mine"}},
		"nothing is new":                    {before: tree{"a": "1"}, edit: tree{"a": "mine"}, after: tree{"a": "1"}, want: tree{"a": "mine"}},
		"an untouched file is replaced":     {before: tree{"a": "1"}, after: tree{"a": "2"}, want: tree{"a": "2"}},
		"a changed file is kept":            {before: tree{"a": "1"}, edit: tree{"a": "mine"}, after: tree{"a": "2"}, want: tree{"a": "mine", "a.new": "2"}, said: "a is kept"},
		"the same change on both sides":     {before: tree{"a": "1"}, edit: tree{"a": "2"}, after: tree{"a": "2"}, want: tree{"a": "2"}},
		"a removed file stays away":         {before: tree{"a": "1", "b": "1"}, edit: tree{"a": "-"}, after: tree{"a": "2", "b": "1"}, want: tree{"b": "1"}, said: "you have removed it"},
		"what is not shipped any more goes": {before: tree{"a": "1", "b": "1"}, after: tree{"b": "1"}, want: tree{"b": "1"}},
		"unless it was changed":             {before: tree{"a": "1", "b": "1"}, edit: tree{"a": "mine"}, after: tree{"b": "1"}, want: tree{"a": "mine", "b": "1"}, said: "no longer provides it"},
		"a new file comes":                  {before: tree{"a": "1"}, after: tree{"a": "1", "d/b": "1"}, want: tree{"a": "1", "d/b": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "flake")
			var said []string
			update := func(content tree) {
				t.Helper()
				if err := NewFlake(dir, shipped(content), func(text string) { said = append(said, text) }).Update(); err != nil {
					t.Fatal(err)
				}
			}
			if tt.before != nil {
				update(tt.before)
			}
			for name, text := range tt.edit {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if text == "-" {
					os.Remove(path)
				} else if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			update(tt.after)
			if diff := cmp.Diff(tt.want, visible(t, dir)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if all := strings.Join(said, "\n"); (all == "") != (tt.said == "") || !strings.Contains(all, tt.said) {
				t.Errorf("said %q, want %q", all, tt.said)
			}
			said = nil
			update(tt.after)
			if diff := cmp.Diff(tt.want, visible(t, dir)); diff != "" || len(said) > 0 {
				t.Errorf("the same update again says %q and changes:\n%s", said, diff)
			}
		})
	}
}

func TestWhatWaitsForTheUserIsToldUntilItIsGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flake")
	quiet := func(string) {}
	f := NewFlake(dir, shipped(map[string]string{"a": "1"}), quiet)
	if err := f.Update(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if len(f.Notes()) > 0 {
		t.Error("a change of the user's is told")
	}
	f = NewFlake(dir, shipped(map[string]string{"a": "2"}), quiet)
	if err := f.Update(); err != nil {
		t.Fatal(err)
	}
	if notes := f.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "a.new") {
		t.Errorf("notes: %q", notes)
	}
	os.Remove(filepath.Join(dir, "a.new"))
	if len(f.Notes()) > 0 {
		t.Error("what is gone is told")
	}
}

func TestProfilesAreThereBeforeTheFlakeIs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flake")
	f := NewFlake(dir, shipped(map[string]string{"profiles/core.nix": "# core\n", "profiles/dev.nix": "# tools\n"}), func(string) {})
	if got := f.Profiles().Names(); !slices.Equal(got, []string{"core", "dev"}) {
		t.Errorf("without a flake: %q", got)
	}
	if err := os.MkdirAll(filepath.Join(dir, "profiles"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "profiles", "mine.nix"), []byte("# mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := f.Profiles().Names(); !slices.Equal(got, []string{"core", "dev", "mine"}) {
		t.Errorf("with a file of the user's: %q", got)
	}
	if err := f.Update(); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", filepath.Join(dir, "unreadable")); err != nil {
		t.Fatal(err)
	}
	if _, known := f.Profiles().Lookup("dev"); !known {
		t.Error("a flake that cannot be read has no profiles")
	}
	os.Remove(filepath.Join(dir, "unreadable"))
	os.Remove(filepath.Join(dir, "profiles", "dev.nix"))
	if got := f.Profiles().Names(); !slices.Equal(got, []string{"core", "mine"}) {
		t.Errorf("without one that the user has removed: %q", got)
	}
}

func TestProfilesSayWhatTheyAreInTheirFirstLines(t *testing.T) {
	f := files{}
	for name, text := range map[string]string{
		"profiles/nvidia.nix":       "# NVIDIA GPU support, for containers\n# requires: docker (the GPU is handed to containers by Docker)\n{ }",
		"profiles/team/default.nix": "#   Ours  \n#conflicts: a, b (they ( do ))\n#\n# agent: yes\n# requires: dev,, python\n\n# requires: never\n{ }",
		"profiles/plain.nix":        "{ }",
		"profiles/silent.nix":       "# agent: no\n# a later line is no description\n",
		"profiles/evil.nix":         "# \x1b[31mred\u202e\n# requires: ../x\n",
		"profiles/Not-A-Name.nix":   "# no\n", "profiles/x.nix.txt": "# no\n", "profiles/sub/other.nix": "# no\n", "modules/dev.nix": "# no\n",
		"profiles/twice.nix":         "# the file\n",
		"profiles/twice/default.nix": "# the directory\n",
	} {
		f[name] = []byte(text)
	}
	images := []string{Kind}
	want := nixbuild.Catalogue{
		{Name: "evil", Description: "red", Requires: []string{"../x"}, Images: images},
		{Name: "nvidia", Description: "NVIDIA GPU support, for containers", Requires: []string{"docker"}, Images: images},
		{Name: "plain", Images: images},
		{Name: "silent", Images: images},
		{Name: "team", Description: "Ours", Requires: []string{"dev", "python"}, Conflicts: []string{"a", "b"}, Agent: true, Images: images},
		{Name: "twice", Description: "the file", Images: images},
	}
	if diff := cmp.Diff(want, f.catalogue()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOnlyWhatBelongsToTheFlakeNamesTheImage(t *testing.T) {
	dir := t.TempDir()
	list := func() string {
		t.Helper()
		f, err := readDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return f.list()
	}
	put := func(name, text string) {
		t.Helper()
		if err := write(filepath.Join(dir, name), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	put("flake.nix", "1")
	before := list()
	for _, name := range []string{".git/config", "flake.nix~", "flake.nix.new", "README.md", ".#flake.nix", ".shipped/flake.nix"} {
		put(name, "x")
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "result")); err != nil {
		t.Fatal(err)
	}
	if list() != before {
		t.Error("what does not belong to the flake counts")
	}
	seen := map[string]bool{before: true}
	for _, name := range []string{"flake.lock", "profiles/a.nix", "profiles/b.nix", "CLAUDE.md", "profiles/home/.bashrc", "profiles/result.nix"} {
		put(name, "x")
		if d := list(); seen[d] {
			t.Errorf("%s does not count", name)
		} else {
			seen[d] = true
		}
	}
	if err := os.Symlink("/dev/zero", filepath.Join(dir, "endless")); err != nil {
		t.Fatal(err)
	}
	if _, err := readDir(dir); err == nil {
		t.Error("a device was taken for a file")
	}
}

func TestNixpkgsNeedsANixOfItsTime(t *testing.T) {
	for version, want := range map[string]bool{"2.8.0": true, "2.17.1": true, "2.18.0": false, "2.31.2+1": false, "3.0": false, "1.11": true, "pre": false} {
		if tooOld(version) != want {
			t.Errorf("%s: %v", version, !want)
		}
	}
	dir := t.TempDir()
	own := NewFlake(dir, shipped(map[string]string{"flake.lock": `{"nodes":{"nixpkgs":{}}}`}), func(string) {})
	if !own.usesNixpkgs() {
		t.Error("the flake that will be written beside what is there does not use nixpkgs")
	}
	if err := write(filepath.Join(dir, "image.nix"), nil); err != nil {
		t.Fatal(err)
	}
	if own.usesNixpkgs() {
		t.Error("a flake of the user's own making, without a lock, uses nixpkgs")
	}
	if !NewFlake(filepath.Join(dir, "none"), own.shipped, nil).usesNixpkgs() {
		t.Error("the flake that will be written does not use nixpkgs")
	}
}

func FuzzProfile(f *testing.F) {
	f.Add("# text\n# requires: a, b (why)\n# agent: yes\n{ }")
	f.Fuzz(func(t *testing.T, text string) {
		p := describe("x", text)
		if len(p.Description) > maxDescription+len("…") || strings.ContainsAny(p.Description, "\n\r\x1b") {
			t.Errorf("description %q", p.Description)
		}
	})
}

func TestTheCopyForNixIsWhole(t *testing.T) {
	f := files{"a": []byte("1"), "d/b": []byte("2")}
	dir, from := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(from, "a"), []byte("1"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := f.writeTo(dir, from); err != nil {
		t.Fatal(err)
	}
	for name, program := range map[string]bool{"a": true, "d/b": false} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode()&0o100 != 0 != program {
			t.Errorf("%s: %v, program: %v", name, err, !program)
		}
	}
	got, err := readDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(f, got, slices.Equal) {
		t.Errorf("got %q", got)
	}
}
