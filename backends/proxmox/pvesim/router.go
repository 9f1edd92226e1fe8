package pvesim

import (
	"net/url"
	"sort"
	"strings"
)

// A router finds the method of a path.
type router struct {
	routes []*route
}

type route struct {
	name     string // "GET /nodes/{node}/status"
	verb     string
	segments []string
	method   *method
	handle   handler
}

// A handler answers a call, with the mutex of the server held.
type handler func(s *Server, c *call) (any, error)

// handlers are all methods by name.
func handlers() map[string]handler {
	all := map[string]handler{}
	for _, topic := range []map[string]handler{
		accessHandlers(), nodeHandlers(), clusterHandlers(), storageHandlers(), taskHandlers(), vmHandlers(), powerHandlers(),
		snapshotHandlers(), cloneHandlers(), moveHandlers(), agentHandlers(), firewallHandlers(), consoleHandlers(), migrateHandlers(),
		backupHandlers(),
	} {
		for name, handle := range topic {
			all[name] = handle
		}
	}
	return all
}

func newRouter(s *schema) *router {
	r := new(router)
	for name, handle := range handlers() {
		method := s.Methods[name]
		if method == nil {
			continue // TestEveryMethodHasAHandler
		}
		verb, path, _ := strings.Cut(name, " ")
		r.routes = append(r.routes, &route{name: name, verb: verb, segments: strings.Split(path[1:], "/"), method: method, handle: handle})
	}
	// A word goes before a parameter: agent/exec before agent/{command}.
	sort.Slice(r.routes, func(i, j int) bool { return r.routes[i].name > r.routes[j].name })
	sort.SliceStable(r.routes, func(i, j int) bool {
		return strings.Count(r.routes[i].name, "{") < strings.Count(r.routes[j].name, "{")
	})
	return r
}

// find returns the route of a path and the parameters in it.
func (r *router) find(verb, path string) (*route, map[string]string) {
	segments := strings.Split(strings.Trim(path, "/"), "/")
	for _, route := range r.routes {
		if route.verb != verb {
			continue
		}
		if found, ok := route.match(segments); ok {
			return route, found
		}
	}
	return nil, nil
}

func (r *route) match(segments []string) (map[string]string, bool) {
	found := map[string]string{}
	for i, want := range r.segments {
		if i >= len(segments) {
			return nil, false
		}
		if want == "{volume}" {
			// A volume may have slashes in its name (recorded 542).
			found["volume"] = decodeSegment(strings.Join(segments[i:], "/"))
			return found, true
		}
		if strings.HasPrefix(want, "{") {
			found[strings.Trim(want, "{}")] = decodeSegment(segments[i])
		} else if want != segments[i] {
			return nil, false
		}
	}
	return found, len(segments) == len(r.segments)
}

func decodeSegment(s string) string {
	if decoded, err := url.PathUnescape(s); err == nil {
		return decoded
	}
	return s
}
