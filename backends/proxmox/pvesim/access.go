package pvesim

import (
	"slices"
	"strings"
)

// access is the user.cfg of the cluster.
type access struct {
	users    map[string]bool
	tokens   map[string]*token
	roles    map[string][]string
	acl      []ACL
	sessions map[string]*session
}

type token struct {
	id        string
	secret    string
	separated bool
}

type session struct{ user, csrf string }

func newAccess(config Config) *access {
	a := &access{users: map[string]bool{rootUser: true}, tokens: map[string]*token{}, roles: map[string][]string{}, sessions: map[string]*session{}}
	a.roles["Administrator"] = allPrivileges(config.Version)
	for _, t := range config.Tokens {
		user, _, _ := strings.Cut(t.ID, "!")
		a.users[user] = true
		a.tokens[t.ID] = &token{id: t.ID, secret: t.Secret, separated: t.Separated}
	}
	for _, entry := range config.ACL {
		if entry.Privileges != nil {
			a.roles[entry.Role] = entry.Privileges
		}
		a.acl = append(a.acl, entry)
	}
	return a
}

// allPrivileges are those of the role Administrator (recorded 0, facts 1).
func allPrivileges(version string) []string {
	all := []string{
		"Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit", "Group.Allocate", "Mapping.Audit",
		"Mapping.Modify", "Mapping.Use", "Permissions.Modify", "Pool.Allocate", "Pool.Audit", "Realm.Allocate", "Realm.AllocateUser",
		"SDN.Allocate", "SDN.Audit", "SDN.Use", "Sys.AccessNetwork", "Sys.Audit", "Sys.Console", "Sys.Incoming", "Sys.Modify", "Sys.PowerMgmt",
		"Sys.Syslog", "User.Modify", "VM.Allocate", "VM.Audit", "VM.Backup", "VM.Clone", "VM.Config.CDROM", "VM.Config.CPU",
		"VM.Config.Cloudinit", "VM.Config.Disk", "VM.Config.HWType", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options", "VM.Console",
		"VM.Migrate", "VM.PowerMgmt", "VM.Snapshot", "VM.Snapshot.Rollback",
	}
	if atLeast(version, 9, 0) {
		return append(all, "VM.GuestAgent.Audit", "VM.GuestAgent.FileRead", "VM.GuestAgent.FileSystemMgmt", "VM.GuestAgent.FileWrite", "VM.GuestAgent.Unrestricted", "VM.Replicate")
	}
	return append(all, "VM.Monitor")
}

// privileges are what an identity may do at a path; the value says whether it
// holds below too.
func (s *Server) privileges(who *identity, path string) map[string]bool {
	if who.id == "" {
		return nil
	}
	own := s.access.of(who.user, path, s)
	if who.token == nil || !who.token.separated {
		return own
	}
	// A separated token has what both have (facts 5, recorded 13).
	both := map[string]bool{}
	for privilege, propagate := range s.access.of(who.id, path, s) {
		if _, ok := own[privilege]; ok {
			both[privilege] = propagate
		}
	}
	return both
}

// of returns what the ACL gives to one user or token. The entry of the longest
// path that holds replaces those above it; a VM's pool adds to it (source).
func (a *access) of(who, path string, s *Server) map[string]bool {
	if who == rootUser {
		found := map[string]bool{}
		for _, privilege := range a.roles["Administrator"] {
			found[privilege] = true
		}
		return found
	}
	found := a.atPath(who, path)
	if pool := s.poolOf(path); pool != "" {
		for privilege, propagate := range a.atPath(who, "/pool/"+pool) {
			found[privilege] = found[privilege] || propagate
		}
	}
	return found
}

func (a *access) atPath(who, path string) map[string]bool {
	found := map[string]bool{}
	for _, prefix := range prefixes(path) {
		here := map[string]bool{}
		for _, entry := range a.acl {
			if entry.Who != who || entry.Path != prefix || (entry.NoPropagate && prefix != path) {
				continue
			}
			for _, privilege := range a.roles[entry.Role] {
				here[privilege] = !entry.NoPropagate
			}
			if entry.Role == "NoAccess" {
				here["NoAccess"] = true
			}
		}
		if len(here) > 0 {
			found = here
		}
	}
	delete(found, "NoAccess")
	return found
}

// prefixes are "/", "/vms" and "/vms/100" for the last.
func prefixes(path string) []string {
	list := []string{"/"}
	for i := 1; i < len(path); i++ {
		if path[i] == '/' {
			list = append(list, path[:i])
		}
	}
	if path != "/" {
		list = append(list, path)
	}
	return list
}

// may tells whether the caller has one of the privileges.
func (s *Server) may(c *call, path string, privileges ...string) bool {
	have := s.privileges(c.who, path)
	return slices.ContainsFunc(privileges, func(p string) bool { _, ok := have[p]; return ok })
}

// check fails unless the caller has all privileges.
func (s *Server) check(c *call, path string, privileges ...string) error {
	for _, privilege := range privileges {
		if !s.may(c, path, privilege) {
			return denied(path, privilege)
		}
	}
	return nil
}

// checkAny fails unless the caller has one of the privileges.
func (s *Server) checkAny(c *call, path string, privileges ...string) error {
	if !s.may(c, path, privileges...) {
		return denied(path, privileges...)
	}
	return nil
}
