package pvesim

import "testing"

func TestFirewallRulesAndOptions(t *testing.T) {
	acl := append(DefaultACL(DefaultVersion, "nixvmd@pve!t1", DefaultStorages()),
		ACL{Path: "/", Who: "nixvmd@pve", Role: "Look", Privileges: []string{"Sys.Audit"}}, ACL{Path: "/", Who: "nixvmd@pve!t1", Role: "Look"})
	c := start(t, Config{ACL: acl})
	fw := "/nodes/pve1/qemu/100/firewall" // the VM does not exist: rules are kept all the same
	c.ok(nil, "POST", fw+"/rules", "type=in", "action=ACCEPT", "proto=tcp", "dport=22", "enable=1")
	c.ok(nil, "POST", fw+"/rules", "type=in", "action=DROP")
	var rules []struct {
		Pos, Enable           int
		Action, DPort, Digest string
	}
	c.ok(&rules, "GET", fw+"/rules")
	if len(rules) != 2 || rules[0].Action != "DROP" || rules[0].Enable != 0 || rules[1].DPort != "22" || rules[1].Enable != 1 || rules[1].Pos != 1 {
		t.Errorf("%+v", rules)
	}
	c.fails(500, "checksum mismatch (file change by other user?)", "DELETE", fw+"/rules/0", "digest=0123")
	c.ok(nil, "PUT", fw+"/rules/0", "moveto=1", "digest="+rules[0].Digest)
	c.ok(nil, "DELETE", fw+"/rules/1")
	c.ok(&rules, "GET", fw+"/rules")
	if len(rules) != 1 || rules[0].Action != "ACCEPT" {
		t.Errorf("%+v", rules)
	}
	a := c.fails(400, "Parameter verification failed.", "POST", fw+"/rules", "type=in", "action=ACCEPT", "dest=300.1.1.1/99", "proto=tcp", "dport=70000")
	if a.Errors["dest"] == "" || a.Errors["dport"] == "" {
		t.Errorf("%v", a.Errors)
	}
	c.ok(nil, "PUT", fw+"/options", "enable=1", "policy_in=DROP", "macfilter=1", "ipfilter=1")
	var options map[string]any
	if c.ok(&options, "GET", fw+"/options"); options["enable"] != 1.0 || options["policy_in"] != "DROP" {
		t.Errorf("%v", options)
	}
	c.ok(nil, "POST", fw+"/ipset", "name=ipfilter-net0")
	c.ok(nil, "POST", fw+"/ipset/ipfilter-net0", "cidr=192.0.2.5")
	c.fails(500, "IPSet 'ipfilter-net0' is not empty", "DELETE", fw+"/ipset/ipfilter-net0")
	c.ok(nil, "DELETE", fw+"/ipset/ipfilter-net0/192.0.2.5")
	c.ok(nil, "DELETE", fw+"/ipset/ipfilter-net0")

	if c.ok(&options, "GET", "/cluster/firewall/options"); options["enable"] == 1.0 && len(options) == 1 {
		t.Errorf("%v", options)
	}
	c.sim.SetFirewall(true)
	options = nil
	if c.ok(&options, "GET", "/cluster/firewall/options"); options["enable"] != 1.0 {
		t.Errorf("%v", options)
	}
	c.fails(403, "Permission check failed (/, Sys.Modify)", "PUT", "/cluster/firewall/options", "enable=0")
}
