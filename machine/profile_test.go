package machine

import (
	"errors"
	"strings"
	"testing"
)

func parseAll(c content) (Machine, error) {
	return c.parse("demo", func(file string) string { return file })
}

func TestWhereTheModeStands(t *testing.T) {
	for _, c := range []struct {
		profile, mutable string
		want             Mode // "" = refused
	}{
		{"core", "", Immutable},
		{"core", "false", Immutable},
		{"core", "true", Mutable},
		{"core", "semi", SemiMutable},
		{"core,mutable", "", Mutable},
		{"core,semi-mutable", "", SemiMutable},
		{"core,mutable", "true", Mutable}, // older and newer template at once
		{"core,semi-mutable", "semi", SemiMutable},
		{"core,mutable", "semi", ""},
		{"core,semi-mutable", "true", ""},
		{"core,mutable", "false", ""},
	} {
		m, err := parseAll(content{ProfileFile: []byte(c.profile), MutableFile: []byte(c.mutable)})
		var fault *Fault
		if c.want == "" && errors.As(err, &fault) && fault.File == MutableFile && fault.Line == 1 && fault.Hint != "" {
			continue
		}
		if err != nil || m.Mode != c.want || len(m.Profiles) != 0 {
			t.Errorf("profile %q, mutable %q: %s, %v", c.profile, c.mutable, m.Mode, err)
		}
	}
}

func TestAProfileIsNamedAsAFileOfTheFlake(t *testing.T) {
	longest := strings.Repeat("a", 32)
	if m, err := parseAll(content{ProfileFile: []byte("core,dev," + longest)}); err != nil || len(m.Profiles) != 2 || m.Profiles[0] != longest {
		t.Errorf("%v, %v", m.Profiles, err)
	}
	for _, name := range []string{longest + "a", "Dev", "-dev", "dev.nix", "a/b"} {
		_, err := parseAll(content{ProfileFile: []byte("core," + name)})
		var fault *Fault
		if !errors.As(err, &fault) || fault.File != ProfileFile || fault.Line != 1 || fault.Hint == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDiskSizeWinsOverVarSize(t *testing.T) {
	for want, c := range map[int64]content{
		10 << 30: {DiskSizeFile: []byte("10"), VarSizeFile: []byte("20G")},
		20 << 30: {VarSizeFile: []byte("20G")},
		30 << 30: {ProfileFile: []byte("core")},
	} {
		if m, err := parseAll(c); err != nil || m.DiskBytes != want {
			t.Errorf("%d: %d, %v", want, m.DiskBytes, err)
		}
	}
}
