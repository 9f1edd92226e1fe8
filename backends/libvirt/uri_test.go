package libvirt

import (
	"testing"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestAURINamesATransportAndADriver(t *testing.T) {
	for uri, want := range map[string]target{
		"qemu:///system":                    {Driver: "qemu", Remote: "qemu:///system"},
		"qemu:///session":                   {Driver: "qemu", Session: true, Remote: "qemu:///session"},
		"qemu+unix:///system?socket=/s":     {Driver: "qemu", Socket: "/s", Remote: "qemu:///system"},
		"qemu+ssh://ann@lab.example/system": {Driver: "qemu", Transport: "ssh", Remote: "qemu:///system"},
		"test:///default":                   {Driver: "test", Remote: "test:///default"},
	} {
		got, err := parseURI(uri)
		if got.Host = nil; err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", uri, got, err, want)
		}
	}
}

func TestAURIThatCannotBeUsedIsRefusedWithTheFormsThatCan(t *testing.T) {
	for _, uri := range []string{
		"qemu://lab/system", "qemu+tcp://lab/system", "qemu+ssh:///system", "xen:///system", "qemu:///", "qemu:///system?command=/bin/sh", "://", "",
	} {
		_, err := parseURI(uri)
		if p := problem.From(err); p == nil || p.Code != problem.ConfigInvalid || p.Hint == "" {
			t.Errorf("%q: %v", uri, err)
		}
	}
}
