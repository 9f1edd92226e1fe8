package libvirt

import (
	"slices"
	"strings"
	"testing"
)

// What ssh prints is read whatever the case of its keywords.
func TestSettingsOfEitherCase(t *testing.T) {
	const lower = "user me\nhostname 10.0.0.1\nport 2222\nhostkeyalias lab\nidentityfile /k1\nidentityfile /k2\nidentitiesonly yes\n" +
		"identityagent none\nuserknownhostsfile /a /b\nglobalknownhostsfile /c\nproxyjump j1,u@j2:22\n"
	mixed := strings.NewReplacer("user me", "User me", "hostname", "Hostname", "port ", "Port ", "hostkeyalias", "HostKeyAlias",
		"identityfile", "IdentityFile", "identitiesonly yes", "IdentitiesOnly true", "identityagent", "IdentityAgent",
		"userknownhostsfile", "UserKnownHostsFile", "globalknownhostsfile", "GlobalKnownHostsFile", "proxyjump", "ProxyJump").Replace(lower)
	for _, text := range []string{lower, mixed} {
		s, err := parseSettings(text, destination{host: "lab"})
		if err != nil {
			t.Fatal(err)
		}
		if s.user != "me" || s.address != "10.0.0.1:2222" || s.alias != "lab:22" || !s.onlyThese || s.agent != "" || len(s.jumps) != 2 ||
			!slices.Equal(s.identities, []string{"/k1", "/k2"}) || !slices.Equal(s.knownHosts, []string{"/a", "/b", "/c"}) {
			t.Errorf("%+v", s)
		}
	}
	for _, text := range []string{"proxycommand nc x 22\n", "ProxyCommand nc x 22\n"} {
		if _, err := parseSettings(text, destination{host: "lab"}); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
