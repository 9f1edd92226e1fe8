package nixos

import (
	"path"
	"regexp"
	"strings"

	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/plaintext"
	"github.com/nixvm/nixvm/nixbuild"
)

var (
	headerField = regexp.MustCompile(`^([a-z]+):([^(]*)(?:\(.*\))?$`)
	headerKey   = regexp.MustCompile(`^[a-z]+:`)
)

// maxDescription bounds what a file says of itself, in bytes.
const maxDescription = 200

// catalogue lists the profiles of the flake. Each says what it is in the comment
// lines at its top, so that neither a nix nor code without errors is needed:
//
//	# NVIDIA GPU support, for containers
//	# requires: docker (the GPU is handed to containers by Docker)
//	# conflicts: NAME, OTHER (why)
//	# agent: yes
//	# pci: yes (it needs a PCI device of the host; read here only)
//
// The flake reads them in the same way (lib/profiles.nix).
func (f files) catalogue() nixbuild.Catalogue {
	var list nixbuild.Catalogue
	for name, content := range f {
		profile, ok := profileIn(name)
		if !ok {
			continue
		}
		// NAME.nix and NAME/default.nix: the flake takes the file.
		if _, twice := f[path.Join("profiles", profile+".nix")]; twice && strings.HasSuffix(name, "/default.nix") {
			continue
		}
		list = append(list, describe(profile, string(content)))
	}
	list.Sort()
	return list
}

// profileIn returns the name of the profile that a file of the flake holds.
func profileIn(file string) (name string, ok bool) {
	name, ok = strings.CutPrefix(file, "profiles/")
	if !ok {
		return "", false
	}
	if name, ok = strings.CutSuffix(name, "/default.nix"); !ok {
		name, ok = strings.CutSuffix(name, ".nix")
	}
	return name, ok && names.IsProfile(name)
}

func describe(name, content string) nixbuild.Profile {
	p := nixbuild.Profile{Name: name, Images: []string{Kind}}
	first := true
	for line := range strings.Lines(content) {
		if !strings.HasPrefix(line, "#") {
			break
		}
		line = plaintext.Line(strings.TrimSpace(strings.TrimLeft(line, "#")), maxDescription)
		if first && !headerKey.MatchString(line) {
			p.Description = line
		}
		first = false
		m := headerField.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		switch values := words(m[2]); m[1] {
		case "requires":
			p.Requires = append(p.Requires, values...)
		case "conflicts":
			p.Conflicts = append(p.Conflicts, values...)
		case "agent":
			p.Agent = p.Agent || len(values) > 0 && values[0] == "yes"
		case "pci":
			p.PCI = p.PCI || len(values) > 0 && values[0] == "yes"
		}
	}
	return p
}

func words(list string) []string {
	var out []string
	for w := range strings.SplitSeq(list, ",") {
		if w = strings.TrimSpace(w); w != "" {
			out = append(out, w)
		}
	}
	return out
}
