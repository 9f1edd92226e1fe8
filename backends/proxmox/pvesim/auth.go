package pvesim

import (
	"net/http"
	"strings"
	"time"
)

// An identity is who makes a request: a user by ticket, or a token.
type identity struct {
	// id is user@realm or user@realm!token.
	id   string
	user string
	// token is nil for a ticket.
	token *token
}

const rootUser = "root@pam"

// isRoot is false for a token of root@pam too: the checks of the real server
// compare with the user's name (facts 4).
func (i *identity) isRoot() bool { return i.id == rootUser }

// authDelay is how long a real server waits before it refuses (recorded 29, 30).
const authDelay = 3 * time.Second

// authenticate finds who makes a request.
func (s *Server) authenticate(req *http.Request, world bool) (*identity, error) {
	header := req.Header.Get("Authorization")
	cookie, _ := req.Cookie("PVEAuthCookie")
	var err error
	switch value, isToken := strings.CutPrefix(header, "PVEAPIToken="); {
	case isToken:
		id, secret, _ := strings.Cut(value, "=")
		if token := s.access.tokens[id]; token != nil && token.secret == secret {
			user, _, _ := strings.Cut(id, "!")
			return &identity{id: id, user: user, token: token}, nil
		}
		err = bare(401, "Authentication failed!") // recorded 29
	case cookie != nil:
		session := s.access.sessions[decodeSegment(cookie.Value)]
		if session != nil && (req.Method == http.MethodGet || req.Header.Get("CSRFPreventionToken") == session.csrf) {
			return &identity{id: session.user, user: session.user}, nil
		}
		err = bare(401, "permission denied - invalid PVE ticket") // source
		if session != nil {
			err = bare(401, "Permission denied - invalid csrf token") // source
		}
	case world:
		return &identity{}, nil
	default:
		err = bare(401, "No ticket") // recorded 30
	}
	if world {
		return &identity{}, nil
	}
	s.pause(authDelay)
	return nil, err
}
