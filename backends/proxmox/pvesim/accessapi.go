package pvesim

import (
	"fmt"
	"slices"
	"strings"
)

func accessHandlers() map[string]handler {
	return map[string]handler{
		"POST /access/ticket":                           login,
		"POST /access/vncticket":                        verifyVNCTicket,
		"GET /access/permissions":                       listPermissions,
		"POST /access/users":                            createUser,
		"POST /access/roles":                            createRole,
		"PUT /access/acl":                               changeACL,
		"GET /access/acl":                               listACL,
		"GET /access/users/{userid}/token/{tokenid}":    readToken,
		"POST /access/users/{userid}/token/{tokenid}":   createToken,
		"DELETE /access/users/{userid}/token/{tokenid}": deleteToken,
	}
}

// login answers for root@pam only, the one user with a password (recorded 0).
func login(s *Server, c *call) (any, error) {
	name := c.get("username")
	if realm := c.get("realm"); realm != "" && !strings.Contains(name, "@") {
		name += "@" + realm
	}
	if name != rootUser || c.get("password") != s.RootPassword {
		s.pause(authDelay)
		return nil, bare(401, "authentication failure") // source
	}
	session := &session{user: rootUser, csrf: "00000000:" + randomHex(20)}
	ticket := "PVE:" + rootUser + ":00000000::" + randomHex(20)
	s.access.sessions[ticket] = session
	return map[string]any{
		"username": rootUser, "ticket": ticket, "CSRFPreventionToken": session.csrf, "cap": map[string]any{"vms": map[string]int{"VM.Audit": 1}},
	}, nil
}

// listPermissions answers with the paths of the ACL where anything is left
// (recorded 5, 13, 24).
func listPermissions(s *Server, c *call) (any, error) {
	who := c.who
	if id := c.get("userid"); id != "" && id != who.id {
		owned := strings.HasPrefix(id, who.user+"!") && who.token == nil
		if !owned && !s.may(c, "/access", "Sys.Audit") {
			return nil, denied("/access", "Sys.Audit")
		}
		user, _, _ := strings.Cut(id, "!")
		who = &identity{id: id, user: user, token: s.access.tokens[id]}
	}
	paths := []string{c.get("path")}
	if paths[0] == "" {
		paths = nil
		for _, entry := range s.access.acl {
			paths = append(paths, entry.Path)
		}
		if who.id == rootUser {
			paths = append(paths, "/", "/access", "/nodes", "/pool", "/sdn", "/storage", "/vms")
		}
	}
	found := map[string]map[string]int{}
	for _, path := range paths {
		if privileges := s.privileges(who, path); len(privileges) > 0 {
			found[path] = map[string]int{}
			for privilege, propagate := range privileges {
				found[path][privilege] = bit(propagate)
			}
		}
	}
	return found, nil
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func createUser(s *Server, c *call) (any, error) {
	id := c.get("userid")
	if s.access.users[id] {
		return nil, failf("create user failed: user '%s' already exists", id) // source
	}
	s.access.users[id] = true
	return nil, nil
}

func createRole(s *Server, c *call) (any, error) {
	id := c.get("roleid")
	if _, ok := s.access.roles[id]; ok {
		return nil, failf("create role failed: role '%s' already exists", id) // recorded 636
	}
	known := s.access.roles["Administrator"]
	for _, privilege := range splitList(c.get("privs")) {
		if !slices.Contains(known, privilege) {
			return nil, failf("create role failed: invalid privilege '%s'", privilege) // source
		}
		s.access.roles[id] = append(s.access.roles[id], privilege)
	}
	return nil, nil
}

// changeACL adds or removes entries (recorded 9, 14).
func changeACL(s *Server, c *call) (any, error) {
	who := append(splitList(c.get("users")), splitList(c.get("tokens"))...)
	for _, role := range splitList(c.get("roles")) {
		if _, ok := s.access.roles[role]; !ok {
			return nil, failf("role '%s' does not exist", role) // source
		}
		for _, one := range who {
			entry := ACL{Path: c.get("path"), Who: one, Role: role, NoPropagate: c.get("propagate") == "0"}
			s.access.acl = slices.DeleteFunc(s.access.acl, func(e ACL) bool { return e.Path == entry.Path && e.Who == one && e.Role == role })
			if !c.flag("delete") {
				s.access.acl = append(s.access.acl, entry)
			}
		}
	}
	return nil, nil
}

func listACL(s *Server, c *call) (any, error) {
	list := []map[string]any{}
	for _, entry := range s.access.acl {
		if s.may(c, entry.Path, "Permissions.Modify") {
			kind := "user"
			if strings.Contains(entry.Who, "!") {
				kind = "token"
			}
			list = append(list, map[string]any{"path": entry.Path, "ugid": entry.Who, "roleid": entry.Role, "type": kind, "propagate": bit(!entry.NoPropagate)})
		}
	}
	return list, nil
}

func readToken(s *Server, c *call) (any, error) {
	token := s.access.tokens[c.get("userid")+"!"+c.get("tokenid")]
	if token == nil {
		return nil, invalidParameter("tokenid", "no such token") // source
	}
	return map[string]any{"privsep": bit(token.separated), "expire": 0}, nil
}

func createToken(s *Server, c *call) (any, error) {
	id := c.get("userid") + "!" + c.get("tokenid")
	if s.access.tokens[id] != nil {
		return nil, invalidParameter("tokenid", "Token already exists.") // source
	}
	separated := c.get("privsep") != "0"
	raw := randomHex(16)
	secret := fmt.Sprintf("%s-%s-%s-%s-%s", raw[:8], raw[8:12], raw[12:16], raw[16:20], raw[20:])
	s.access.tokens[id] = &token{id: id, secret: secret, separated: separated}
	return map[string]any{"full-tokenid": id, "value": secret, "info": map[string]any{"privsep": fmt.Sprint(bit(separated))}}, nil // recorded 3
}

func deleteToken(s *Server, c *call) (any, error) {
	delete(s.access.tokens, c.get("userid")+"!"+c.get("tokenid"))
	return nil, nil
}
