package libvirt

import (
	"errors"
	"strings"
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

func TestCommandsToPasteReachTheSameLibvirtd(t *testing.T) {
	for uri, want := range map[string]string{
		"qemu:///system?socket=/s":                          "qemu:///system",
		"qemu+ssh://ann@lab.example:2222/system?keyfile=/k": "qemu+ssh://ann@lab.example:2222/system",
	} {
		target, err := parseURI(uri)
		if got := target.virsh(); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", uri, got, err, want)
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

func TestTheHintForAHostThatDoesNotAnswerIsACommandThatReachesIt(t *testing.T) {
	lab, err := parseURI("qemu+ssh://ann@lab.example:2222/system")
	if err != nil {
		t.Fatal(err)
	}
	if hint := lab.unreachable(errors.New("no answer")).Hint; !strings.HasSuffix(hint, "ssh -p 2222 ann@lab.example true") {
		t.Errorf("the hint is %q", hint)
	}
}
