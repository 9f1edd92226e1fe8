package nixbuild

import (
	"regexp"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
)

// Core is the profile that every image has: accounts, sshd, firewall. It is
// implied: a normalised list never holds it, so "core", "" and "core,core" are
// the same image.
const Core = "core"

var profileName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// Profiles is the catalogue: every profile that any kind of image has, in the
// order in which people read them. Images says which kinds have it.
func Profiles() []Profile {
	both := []string{"nixos", "trial"}
	nixos := []string{"nixos"}
	return []Profile{
		{Name: Core, Description: "SSH, accounts, firewall (always included)", Images: both},
		{Name: "dev", Description: "development tools: git, tmux, an editor, ripgrep", Images: both},
		{Name: "python", Description: "Python development", Images: both},
		{Name: "claude", Description: "the Claude Code agent; private networks are blocked", Agent: true, Images: both},
		{Name: "open-code", Description: "the OpenCode agent; private networks are blocked", Agent: true, Images: both},
		{Name: "docker", Description: "Docker daemon", Images: nixos},
		{Name: "podman", Description: "Podman, buildah, skopeo, distrobox", Images: nixos},
		{Name: "rust", Description: "Rust development", Images: nixos},
		{Name: "nvidia", Description: "NVIDIA GPU in containers", Requires: []string{"docker"}, Images: nixos},
		{Name: "home-manager", Description: "home-manager with sway-home", Images: nixos},
	}
}

// LookupProfile returns the profile of that name.
func LookupProfile(name string) (Profile, bool) {
	all := Profiles()
	i := slices.IndexFunc(all, func(p Profile) bool { return p.Name == name })
	if i < 0 {
		return Profile{}, false
	}
	return all[i], true
}

// NormaliseProfiles returns the names sorted, each once, without "core" (which
// is implied) and with what they require. Empty names are dropped. A name that
// is not in the catalogue is refused with profile.unknown.
func NormaliseProfiles(names []string) ([]string, error) {
	seen := map[string]bool{}
	for _, n := range names {
		if n = strings.TrimSpace(n); n == "" || n == Core {
			continue
		}
		p, ok := LookupProfile(n)
		if !ok || !profileName.MatchString(n) {
			return nil, unknownProfile(n)
		}
		seen[n] = true
		for _, r := range p.Requires {
			seen[r] = true
		}
	}
	out := make([]string, 0, len(seen))
	for n := range seen {
		out = append(out, n)
	}
	slices.Sort(out)
	return out, nil
}

func unknownProfile(name string) error {
	var known []string
	for _, p := range Profiles() {
		known = append(known, p.Name)
	}
	return problem.New(problem.ProfileUnknown, "there is no profile %.40q", name).
		WithHint("the profiles are %s", strings.Join(known, ", "))
}

// HasAgent says whether one of the profiles is an agent profile, which means
// that the guest blocks private networks.
func HasAgent(names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		p, ok := LookupProfile(n)
		return ok && p.Agent
	})
}

// The modes.
const (
	Immutable   = "immutable"
	SemiMutable = "semi-mutable"
	Mutable     = "mutable"
)

// Modes lists the modes, the default first.
func Modes() []string { return []string{Immutable, SemiMutable, Mutable} }

// CheckMode refuses what is no mode with mode.unsupported.
func CheckMode(mode string) error {
	if !slices.Contains(Modes(), mode) {
		return problem.New(problem.ModeUnsupported, "there is no mode %.40q", mode).
			WithHint("the modes are %s", strings.Join(Modes(), ", "))
	}
	return nil
}
