package libvirt

import (
	"testing"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestAURINamesATransportAndADaemon(t *testing.T) {
	for uri, want := range map[string]target{
		"qemu:///system":                    {Remote: "qemu:///system"},
		"qemu:///session":                   {Session: true, Remote: "qemu:///session"},
		"qemu+unix:///system?socket=/s":     {Socket: "/s", Remote: "qemu:///system"},
		"qemu+ssh://ann@lab.example/system": {Transport: "ssh", Remote: "qemu:///system"},
	} {
		got, err := parseURI(uri)
		if got.Host = nil; err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", uri, got, err, want)
		}
	}
}

func TestAURIThatCannotBeUsedIsRefusedWithTheFormsThatCan(t *testing.T) {
	for _, uri := range []string{
		"qemu://lab/system", "qemu+tcp://lab/system", "qemu+ssh:///system", "xen:///system", "test:///default", "qemu:///", "qemu:///system?command=/bin/sh", "://", "",
	} {
		_, err := parseURI(uri)
		if p := problem.From(err); p == nil || p.Code != problem.ConfigInvalid || p.Hint == "" {
			t.Errorf("%q: %v", uri, err)
		}
	}
}
