package sshsettings

import (
	"slices"
	"testing"
)

// As printed by ssh -G of 9.2, and by sshd -T of 9.2 and 10.6.
var samples = map[string]string{
	"ssh 9.2":   "user me\nstricthostkeychecking true\ncanonicalizePermittedcnames none\nidentityfile /a b\nidentityfile ~/c\nproxyusefdpass no\n",
	"sshd 9.2":  "port 22\nusepam no\npermitrootlogin without-password\ntcpkeepalive yes\nclientaliveinterval 15\n",
	"sshd 10.6": "Port 22\nUsePAM no\nPermitRootLogin prohibit-password\nTCPKeepAlive true\r\nClientAliveInterval 15\n",
}

func TestKeywordsOfAnyCase(t *testing.T) {
	for sample, want := range map[string]map[string]string{
		"ssh 9.2":   {"user": "me", "stricthostkeychecking": "yes", "CanonicalizePermittedCNAMEs": "none", "IdentityFile": "/a b", "nothing": ""},
		"sshd 9.2":  {"UsePAM": "no", "clientaliveinterval": "15", "tcpkeepalive": "yes"},
		"sshd 10.6": {"usepam": "no", "clientaliveinterval": "15", "tcpkeepalive": "yes", "permitrootlogin": "prohibit-password"},
	} {
		s := Parse(samples[sample])
		for keyword, value := range want {
			if !s.Is(keyword, value) {
				t.Errorf("%s: %s is %q, want %q", sample, keyword, s.First(keyword), value)
			}
		}
	}
	if got := Parse(samples["ssh 9.2"])["identityfile"]; !slices.Equal(got, []string{"/a b", "~/c"}) {
		t.Errorf("identityfile %q", got)
	}
	if Parse("a yes\n").Is("a", "no") || Parse("a \n").Is("a", "no") || Parse("a x\n").Is("a", "y") || Same("", "no") {
		t.Error("different values mean the same")
	}
}
