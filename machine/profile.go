package machine

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/internal/names"
)

// coreProfile is part of every machine, so it is never listed.
const coreProfile = "core"

func parseProfile(m *Machine, t text) error {
	l, ok, err := t.value()
	if err != nil || !ok {
		return err
	}
	modes := map[Mode]bool{}
	for p := range strings.SplitSeq(l.text, ",") {
		p = strings.TrimSpace(p)
		switch {
		case p == "" || p == coreProfile:
		case p == string(Mutable) || p == string(SemiMutable):
			m.Mode = Mode(p)
			modes[m.Mode] = true
		case !names.IsProfile(p):
			return t.fault(l.number, "separate profile names with commas, e.g. claude,dev,docker", "%s is not a profile name", quote(p))
		default:
			m.Profiles = append(m.Profiles, p)
		}
	}
	if len(modes) > 1 {
		return t.fault(l.number, "keep one of the two words", "it has both mutable and semi-mutable")
	}
	slices.Sort(m.Profiles)
	m.Profiles = slices.Compact(m.Profiles)
	return nil
}

// printProfile writes core too: nixos-vm-template builds exactly what is listed.
func printProfile(m Machine) string {
	all := append([]string{coreProfile}, m.Profiles...)
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ",") + "\n"
}

// mutableWords are the contents of the file mutable.
var mutableWords = map[string]Mode{"true": Mutable, "semi": SemiMutable, "false": Immutable}

func parseMutable(m *Machine, t text) error {
	l, ok, err := t.value()
	if err != nil || !ok {
		return err
	}
	mode, known := mutableWords[l.text]
	if !known {
		return t.fault(l.number, "write true (mutable) or semi (semi-mutable), or remove the file (immutable)", "%s is not a mode", quote(l.text))
	}
	if m.Mode != Immutable && m.Mode != mode {
		return t.fault(l.number, "remove the word "+string(m.Mode)+" from the file profile, or change this file",
			"it says %s, but the profile list says %s", quote(l.text), m.Mode)
	}
	m.Mode = mode
	return nil
}

func printMutable(m Machine) string {
	switch m.Mode {
	case Immutable, "":
		return ""
	case Mutable:
		return "true\n"
	case SemiMutable:
		return "semi\n"
	}
	return string(m.Mode) + "\n" // refused when it is read back
}

// imageURL is how an image that is downloaded is named; what it lacks, such as a
// checksum, is reported by the code that downloads it.
var imageURL = regexp.MustCompile(`^(?:https?|file)://[^\s[:cntrl:]]+$`)

func parseImage(m *Machine, t text) error {
	l, ok, err := t.value()
	if err != nil || !ok {
		return err
	}
	named := l.text == ImageNixOS || l.text == ImageTrial || l.text == ImageTiny
	url := imageURL.MatchString(l.text)
	if !named && !url && !filepath.IsAbs(l.text) || len(l.text) >= 4096 {
		return t.fault(l.number, "write nixos, trial, the absolute path of an image file, or an URL#sha256=HEX", "%s is not an image", quote(l.text))
	}
	if m.Image = l.text; !named && !url {
		m.Image = filepath.Clean(l.text)
	}
	return nil
}

func printImage(m Machine) string {
	if m.Image == ImageNixOS {
		return ""
	}
	return oneLine(m.Image)
}

func parseBackend(m *Machine, t text) error {
	l, ok, err := t.value()
	if err != nil || !ok {
		return err
	}
	if !backendRE.MatchString(l.text) {
		return t.fault(l.number, "write the name of a backend of config.toml, or remove the file for the default", "%s is not a backend name", quote(l.text))
	}
	m.Backend = l.text
	return nil
}
