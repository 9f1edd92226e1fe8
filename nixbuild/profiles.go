package nixbuild

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
)

// Core is the profile that every image has: accounts, sshd, firewall. It is
// implied: a normalised list never holds it, so "core", "" and "core,core" are
// the same image.
const Core = "core"

// Catalogue is the profiles that one kind of image has.
type Catalogue []Profile

// Lookup returns the profile of that name.
func (c Catalogue) Lookup(name string) (Profile, bool) {
	i := slices.IndexFunc(c, func(p Profile) bool { return p.Name == name })
	if i < 0 {
		return Profile{}, false
	}
	return c[i], true
}

// Normalise returns the names sorted, each once, without "core" (which is
// implied) and with what they require. Empty names are dropped. A name that is
// not in the catalogue is refused with profile.unknown, two that exclude each
// other with profile.conflict.
func (c Catalogue) Normalise(names []string) ([]string, error) {
	seen := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		if name = strings.TrimSpace(name); name == "" || name == Core || seen[name] {
			return nil
		}
		p, ok := c.Lookup(name)
		if !ok {
			return c.unknown(name)
		}
		seen[name] = true
		for _, r := range p.Requires {
			if err := add(r); err != nil {
				return fmt.Errorf("profile %s requires %s: %w", name, r, err)
			}
		}
		return nil
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	out := slices.AppendSeq(make([]string, 0, len(seen)), maps.Keys(seen))
	slices.Sort(out)
	return out, c.conflict(out)
}

func (c Catalogue) conflict(names []string) error {
	for _, name := range names {
		p, _ := c.Lookup(name)
		for _, other := range p.Conflicts {
			if slices.Contains(names, other) {
				return problem.New(problem.ProfileConflict, "profile %s conflicts with %s", name, other).
					WithHint("remove one of them")
			}
		}
	}
	return nil
}

func (c Catalogue) unknown(name string) error {
	return problem.New(problem.ProfileUnknown, "there is no profile %.40q", name).
		WithHint("the profiles are %s", strings.Join(c.Names(), ", "))
}

// Names lists the profiles.
func (c Catalogue) Names() []string {
	names := make([]string, 0, len(c))
	for _, p := range c {
		names = append(names, p.Name)
	}
	return names
}

// HasAgent says whether one of the profiles is an agent profile, which means
// that the guest blocks private networks.
func (c Catalogue) HasAgent(names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		p, ok := c.Lookup(n)
		return ok && p.Agent
	})
}

// MayHaveAgent is HasAgent for names that were written down earlier: a profile
// that is not known any more counts as an agent profile.
func (c Catalogue) MayHaveAgent(names []string) bool {
	return c.HasAgent(names) || slices.ContainsFunc(names, func(n string) bool {
		_, ok := c.Lookup(n)
		return !ok && n != Core
	})
}

// NeedingPCI returns the first of the names, or of what they require, that needs a PCI
// device of the host; "" for none.
func (c Catalogue) NeedingPCI(names []string) string {
	all, err := c.Normalise(names)
	if err != nil {
		return "" // that is refused elsewhere
	}
	for _, name := range all {
		if p, _ := c.Lookup(name); p.PCI {
			return name
		}
	}
	return ""
}

// merge adds the profiles of another kind of image. What both have is described
// by c, and is an agent, or needs a PCI device, if either says so.
func (c Catalogue) merge(other Catalogue) Catalogue {
	out := slices.Clone(c)
	for _, p := range other {
		i := slices.IndexFunc(out, func(have Profile) bool { return have.Name == p.Name })
		if i < 0 {
			out = append(out, p)
			continue
		}
		out[i].Agent, out[i].PCI = out[i].Agent || p.Agent, out[i].PCI || p.PCI
		out[i].Images = slices.Clone(out[i].Images)
		for _, kind := range p.Images {
			if !slices.Contains(out[i].Images, kind) {
				out[i].Images = append(out[i].Images, kind)
			}
		}
	}
	return out
}

// Sort puts core first and the others in the order of their names.
func (c Catalogue) Sort() {
	slices.SortFunc(c, func(a, b Profile) int {
		if (a.Name == Core) != (b.Name == Core) {
			if a.Name == Core {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
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
