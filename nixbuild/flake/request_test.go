package flake

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/nixos"
)

// profile is what lib.profiles says of one.
type profile struct {
	Name, Description, File string
	Requires, Conflicts     map[string]string
	Agent                   bool
}

// request is what image.nix says of a request.
type request struct {
	Profiles     []string
	Mode, System string
	ID, Version  string
	Agent        bool
}

func (n nix) profiles(t *testing.T) map[string]profile {
	t.Helper()
	var all map[string]profile
	if err := n.eval(t, &all, "path:"+n.dir+"#lib.profiles"); err != nil {
		t.Fatal(err)
	}
	return all
}

func (n nix) request(t *testing.T, profiles, mode string) (request, error) {
	t.Helper()
	var r request
	err := n.eval(t, &r, "-f", filepath.Join(n.dir, "image.nix"), "request", "--argstr", "profiles", profiles, "--argstr", "mode", mode)
	return r, err
}

// catalogue is the profiles of a directory as nixvmd reads them, without nix.
func catalogue(dir string) nixbuild.Catalogue {
	return nixos.NewFlake(dir, fstest.MapFS{}, func(string) {}).Profiles()
}

func TestTheProfilesOfTheFlakeAreThoseOfTheCatalogue(t *testing.T) {
	n := newNix(t)
	all := n.profiles(t)
	for _, p := range catalogue(n.dir) {
		got, ok := all[p.Name]
		if !ok {
			t.Errorf("the flake has no profile %s", p.Name)
			continue
		}
		var requires []string
		for name := range got.Requires {
			requires = append(requires, name)
		}
		if got.Agent != p.Agent || !slices.Equal(requires, p.Requires) || got.Description == "" || got.Description != p.Description {
			t.Errorf("%s: the flake says %+v, the catalogue %+v", p.Name, got, p)
		}
		delete(all, p.Name)
	}
	for name := range all {
		t.Errorf("the catalogue has no profile %s", name)
	}
}

func TestAProfileThatIsDroppedInIsFoundAndABrokenOneHidesNoOther(t *testing.T) {
	n := newNix(t)
	mine := map[string]string{
		"profiles/go.nix":               "# Go, and what I need for it\n#conflicts: rust, python (one language at a time)\n{ pkgs, ... }: { }\n",
		"profiles/bad.nix":              "# Broken\n{ pkgs, ... }: { oh no",
		"profiles/bare.nix":             "{ }",
		"profiles/dir/default.nix":      "# In a directory\n{ }",
		"profiles/go/default.nix":       "# Behind the file of that name\n{ }",
		"profiles/go.nix~":              "left behind",
		"profiles/.#go.nix":             "left behind",
		"profiles/Not A Profile.nix":    "{ }",
		"profiles/no-default/other.nix": "{ }",
	}
	before := n.profiles(t)
	for name, text := range mine {
		write(t, filepath.Join(n.dir, name), text)
	}
	after := n.profiles(t)
	for name := range before {
		delete(after, name)
	}
	want := map[string]profile{
		"go": {
			Name: "go", Description: "Go, and what I need for it", File: "profiles/go.nix", Requires: map[string]string{},
			Conflicts: map[string]string{"rust": "one language at a time", "python": "one language at a time"},
		},
		"bad":  {Name: "bad", Description: "Broken", File: "profiles/bad.nix", Requires: map[string]string{}, Conflicts: map[string]string{}},
		"bare": {Name: "bare", File: "profiles/bare.nix", Requires: map[string]string{}, Conflicts: map[string]string{}},
		"dir":  {Name: "dir", Description: "In a directory", File: "profiles/dir/default.nix", Requires: map[string]string{}, Conflicts: map[string]string{}},
	}
	if diff := cmp.Diff(want, after); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, p := range want {
		got, ok := catalogue(n.dir).Lookup(name)
		if !ok || got.Description != p.Description || len(got.Conflicts) != len(p.Conflicts) {
			t.Errorf("nixvmd reads %s as %+v", name, got)
		}
	}
	if _, err := n.request(t, "go,dev", "immutable"); err != nil {
		t.Error(err)
	}
	if _, err := n.request(t, "go,python", "immutable"); err == nil || !strings.Contains(err.Error(), "nixvm: profile go conflicts with python: one language at a time") {
		t.Errorf("a conflict says %v", err)
	}
}

func TestEveryProfileIsAnOutputForEverySystemAndMode(t *testing.T) {
	n := newNix(t)
	write(t, filepath.Join(n.dir, "profiles/mine.nix"), "# Mine\n# requires: nvidia\n{ }\n")
	names := func(attribute string) []string {
		t.Helper()
		var out []string
		if err := n.eval(t, &out, "path:"+n.dir+"#"+attribute, "--apply", "builtins.attrNames"); err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, system := range []string{"x86_64-linux", "aarch64-linux"} {
		if got := names("packages." + system); !slices.Contains(got, "mine") || !slices.Contains(got, "default") {
			t.Errorf("the packages for %s are %v", system, got)
		}
	}
	write(t, filepath.Join(n.dir, "machine.nix"), `mkSystem: { "boxone" = mkSystem { mode = "mutable"; profiles = "core,dev"; modules = [ ]; }; }`)
	configurations := names("nixosConfigurations")
	for _, want := range []string{"boxone", "core", "mine", "mine-semi-mutable", "mine-mutable", "mine-mutable-aarch64"} {
		if !slices.Contains(configurations, want) {
			t.Errorf("there is no configuration %s", want)
		}
	}
}

func TestARequestHasOneFormWhateverItsOrder(t *testing.T) {
	n := newNix(t)
	want, err := n.request(t, "nvidia,docker,claude", "mutable")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"core", "claude", "docker", "nvidia"}, want.Profiles); diff != "" || !want.Agent || want.System != "x86_64-linux" {
		t.Errorf("%+v (-want +got):\n%s", want, diff)
	}
	for _, same := range []string{"claude,docker,nvidia", "docker, nvidia ,claude,core", "claude,,docker,nvidia,claude"} {
		got, err := n.request(t, same, "mutable")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q is another image (-want +got):\n%s", same, diff)
		}
	}
	driver := nixos.New(nixos.NewFlake(n.dir, fstest.MapFS{}, func(string) {}), t.TempDir())
	if id, err := driver.ID(nixbuild.Request{Mode: "mutable", Profiles: []string{"nvidia", "claude"}}); err != nil || runtime.GOARCH == "amd64" && id != want.ID {
		t.Errorf("nixvmd calls it %s (%v), the flake %s", id, err, want.ID)
	}
	if !regexp.MustCompile(`^nixos-mutable-[0-9a-f]{16}$`).MatchString(want.ID) || !regexp.MustCompile(`^26\.05-[0-9a-f]{12}$`).MatchString(want.Version) {
		t.Errorf("id %q, version %q", want.ID, want.Version)
	}
}

func TestTheIDChangesWithWhateverChangesTheImage(t *testing.T) {
	n := newNix(t)
	seen := map[string]string{}
	id := func(profiles, mode string) string {
		t.Helper()
		r, err := n.request(t, profiles, mode)
		if err != nil {
			t.Fatal(err)
		}
		return r.ID
	}
	add := func(what, id string) {
		t.Helper()
		if other, ok := seen[id]; ok {
			t.Errorf("%s and %s have the same id", what, other)
		}
		seen[id] = what
	}
	add("core", id("", "immutable"))
	add("dev", id("dev", "immutable"))
	add("dev, semi-mutable", id("dev", "semi-mutable"))
	for _, name := range []string{"profiles/dev.nix", "modules/ssh.nix", "guest/firewall", "flake.lock"} {
		f, err := os.OpenFile(filepath.Join(n.dir, name), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(" "); err != nil {
			t.Fatal(err)
		}
		f.Close()
		add("core after a change of "+name, id("", "immutable"))
	}
}

// The flake and nixvmd leave out the same files, and no other.
func TestBothSidesAgreeOnWhatCountsOfAFlake(t *testing.T) {
	n := newNix(t)
	driver := nixos.New(nixos.NewFlake(n.dir, fstest.MapFS{}, func(string) {}), t.TempDir())
	ids := func() (ours string) {
		t.Helper()
		theirs, err := n.request(t, "", "immutable")
		if err != nil {
			t.Fatal(err)
		}
		if ours, err = driver.ID(nixbuild.Request{}); err != nil {
			t.Fatal(err)
		}
		if runtime.GOARCH == "amd64" && ours != theirs.ID {
			t.Fatalf("nixvmd calls it %s, the flake %s", ours, theirs.ID)
		}
		return ours
	}
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(n.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	before := ids()
	for _, name := range []string{
		"README.md", "profiles/dev.nix~", "profiles/dev.nix.new", "profiles/dev.nix.new.new", ".git/HEAD", "profiles/.git", ".shipped/flake.nix", ".direnv/flake-profile",
		".jj/working", ".hg/store", ".svn/entries", "profiles/#dev.nix#", "profiles/.dev.nix.swp", ".#flake.nix",
	} {
		write(t, filepath.Join(n.dir, name), "x")
		if id := ids(); id != before {
			t.Errorf("%s counts", name)
			before = id
		}
	}
	link(t.TempDir(), "result")
	link("/nowhere", "profiles/result-man")
	link("somebody@example.com", "profiles/.#core.nix")
	if ids() != before {
		t.Error("what nix build or an editor leaves counts")
	}

	seen := map[string]string{before: "nothing"}
	counts := func(name string) {
		t.Helper()
		id := ids()
		if other, ok := seen[id]; ok {
			t.Errorf("%s is the same as %s", name, other)
		}
		seen[id] = name
	}
	for _, name := range []string{
		"profiles/README.md", "agents/CLAUDE.md", "profiles/home/.bashrc", ".envrc", ".gitignore", ".github/workflow.yml", "profiles/result.nix", "result-parser/default.nix",
		"brand.new", "profiles.new", ".git.new", "result.new", "a name with blanks", "guest/extra.sh", "flake.lock", "zz", "z/a", "z.a",
	} {
		write(t, filepath.Join(n.dir, name), "x")
		counts(name)
		write(t, filepath.Join(n.dir, name), "y")
		counts("an edit of " + name)
	}
	link("zz", "linked")
	counts("a link")
	write(t, filepath.Join(n.dir, "zz"), "through the link")
	counts("what a link leads to")

	link("/nowhere", "broken")
	if _, err := driver.ID(nixbuild.Request{}); err == nil || !strings.Contains(err.Error(), "broken is a dangling symlink") {
		t.Errorf("a dangling symlink: %v", err)
	}
}

func TestWhatCannotBeBuiltIsRefusedInOneLineForPeople(t *testing.T) {
	n := newNix(t)
	for name, tt := range map[string]struct{ profiles, mode, want string }{
		"a profile that is not there": {"docer", "immutable", `nixvm: there is no profile "docer"; the profiles are claude, core, dev,`},
		"a profile without its need":  {"nvidia", "immutable", "nixvm: profile nvidia requires docker: the GPU is handed to containers by Docker"},
		"a mode that is not there":    {"", "liquid", `nixvm: there is no mode "liquid"; the modes are immutable, semi-mutable, mutable`},
		"a path as a profile":         {"../modules", "immutable", `nixvm: there is no profile "../modules"`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := n.request(t, tt.profiles, tt.mode); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// place is a variable of guest/places-*.sh.
var place = regexp.MustCompile(`(?m)^P_([A-Z_]+)=(.*)$`)

// names are the variables of places-*.sh, by the file on the medium.
var names = map[string]string{
	"hostname": "HOSTNAME", "machine-id": "MACHINE_ID", "ssh_host_ed25519_key": "HOST_KEY",
	"admin_authorized_keys": "ADMIN_KEYS", "user_authorized_keys": "USER_KEYS", "tcp_ports": "TCP_PORTS", "udp_ports": "UDP_PORTS",
	"allowed_cidrs": "ALLOWED_CIDRS", "static_ip": "STATIC_IP", "resolv.conf": "RESOLV_CONF", "hosts": "HOSTS", "root_password_hash": "ROOT_HASH", "ca-cert.pem": "CA_CERT",
}

func TestModulesAndProgramsLookForTheIdentityInTheSamePlaces(t *testing.T) {
	var identity map[string]map[string]string
	n := newNix(t)
	if err := n.eval(t, &identity, "-f", filepath.Join(n.dir, "lib"), "identity"); err != nil {
		t.Fatal(err)
	}
	for mode, places := range map[string]string{nixbuild.Immutable: OnState, nixbuild.SemiMutable: OnState, nixbuild.Mutable: InEtc} {
		programs, err := GuestPrograms(places)
		if err != nil {
			t.Fatal(err)
		}
		vars := map[string]string{}
		for _, m := range place.FindAllStringSubmatch(string(programs["places.sh"]), -1) {
			vars[m[1]] = strings.ReplaceAll(m[2], "$P_DIR", vars["DIR"])
		}
		if len(identity[mode]) != len(names) {
			t.Errorf("%s: %d places, want %d", mode, len(identity[mode]), len(names))
		}
		for file, where := range identity[mode] {
			if got := vars[names[file]]; got != where {
				t.Errorf("%s: %s is at %s for the modules, at %q for the programs", mode, file, where, got)
			}
		}
	}
}
