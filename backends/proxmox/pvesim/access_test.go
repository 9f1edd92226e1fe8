package pvesim

import (
	"strings"
	"testing"
)

func TestWhoAsksIsChecked(t *testing.T) {
	c := start(t, Config{})
	for _, test := range []struct{ token, reason string }{
		{"", "No ticket"},
		{"nixvmd@pve!t1=wrong", "Authentication failed!"},
		{"nixvmd@pve!other=" + DefaultToken().Secret, "Authentication failed!"},
		{"nonsense", "Authentication failed!"},
	} {
		if a := c.as(test.token).fails(401, test.reason, "GET", "/nodes"); len(a.body) != 0 {
			t.Errorf("%q: body %q", test.token, a.body)
		}
	}
	c.ok(nil, "GET", "/version")
}

// A separated token has only what both it and its user have.
func TestSeparatedTokenHasTheCommonPrivileges(t *testing.T) {
	user := ACL{Path: "/vms", Who: "nixvmd@pve", Role: "A", Privileges: []string{"VM.Audit", "VM.Clone"}}
	own := ACL{Path: "/vms", Who: "nixvmd@pve!t1", Role: "B", Privileges: []string{"VM.Audit", "VM.PowerMgmt"}}
	for name, test := range map[string]struct {
		acl       []ACL
		separated bool
		want      string
	}{
		"only the user has them":      {[]ACL{user}, true, ""},
		"only the token has them":     {[]ACL{own}, true, ""},
		"both have some":              {[]ACL{user, own}, true, "VM.Audit"},
		"an unseparated token":        {[]ACL{user}, false, "VM.Audit VM.Clone"},
		"unseparated with an own ACL": {[]ACL{user, own}, false, "VM.Audit VM.Clone"},
	} {
		t.Run(name, func(t *testing.T) {
			token := DefaultToken()
			token.Separated = test.separated
			c := start(t, Config{Tokens: []Token{token}, ACL: test.acl})
			var found map[string]map[string]int
			c.ok(&found, "GET", "/access/permissions")
			if got := strings.Join(sortedKeys(found["/vms"]), " "); got != test.want {
				t.Errorf("has %q, want %q", got, test.want)
			}
		})
	}
}

func TestTheLongestPathOfTheACLCounts(t *testing.T) {
	token := DefaultToken()
	token.Separated = false
	c := start(t, Config{Tokens: []Token{token}, ACL: []ACL{
		{Path: "/", Who: "nixvmd@pve", Role: "Look", Privileges: []string{"VM.Audit", "Sys.Audit"}},
		{Path: "/vms/100", Who: "nixvmd@pve", Role: "Use", Privileges: []string{"VM.PowerMgmt"}},
		{Path: "/storage", Who: "nixvmd@pve", Role: "Here", Privileges: []string{"Datastore.Audit"}, NoPropagate: true},
	}})
	c.sim.mu.Lock()
	defer c.sim.mu.Unlock()
	who := &identity{id: "nixvmd@pve!t1", user: "nixvmd@pve", token: c.sim.access.tokens["nixvmd@pve!t1"]}
	for path, want := range map[string]string{
		"/vms/101": "Sys.Audit VM.Audit", "/vms/100": "VM.PowerMgmt", "/storage": "Datastore.Audit", "/storage/local": "Sys.Audit VM.Audit",
	} {
		if got := strings.Join(sortedKeys(c.sim.privileges(who, path)), " "); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestTheGuestAgentHasOnePrivilegeBefore90(t *testing.T) {
	for version, want := range map[string]string{"8.4.1": "VM.Monitor", "9.0.3": "VM.GuestAgent.Audit"} {
		c := start(t, Config{Version: version})
		var found map[string]map[string]int
		c.ok(&found, "GET", "/access/permissions", "path=/vms")
		if _, ok := found["/vms"][want]; !ok {
			t.Errorf("%s: %v", version, found)
		}
	}
}
