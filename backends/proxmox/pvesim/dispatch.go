package pvesim

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
)

const prefix = "/api2/json"

// A call is a request under way.
type call struct {
	*params
	route *route
	who   *identity
	body  *http.Request
	fault *Fault
	// spooled is the file of an upload that no task took yet.
	spooled *spooled
}

// node is the one in the path.
func (c *call) node() string { return c.get("node") }

// serve answers a request, in the order of the real server: who asks, which
// method, the parameters' form, the permissions, the node, the parameters.
func (s *Server) serve(req *http.Request) response {
	s.mu.Lock()
	defer s.mu.Unlock()
	fault := s.noteRequest(req)
	if answer, stop := fault.before(); stop {
		return answer
	}
	return fault.after(s.answer(req, fault))
}

func (s *Server) answer(req *http.Request, fault *Fault) response {
	if !slices.Contains([]string{"GET", "POST", "PUT", "DELETE"}, req.Method) {
		return answerError(bare(501, "method '"+req.Method+"' not available")) // recorded 38
	}
	path, ok := strings.CutPrefix(req.URL.EscapedPath(), prefix)
	if !ok || path == "" {
		return answerError(bare(404, "no such file '"+req.URL.Path+"'")) // unseen
	}
	route, inPath := s.router.find(req.Method, path)
	who, err := s.authenticate(req, route != nil && route.method.World)
	if err != nil {
		return answerError(err)
	}
	if route == nil {
		return answerError(&apiError{status: 501, message: "Method '" + req.Method + " " + path + "' " + notKnown}) // recorded 37
	}
	data, err := s.call(&call{route: route, who: who, body: req, fault: fault}, inPath)
	if err != nil {
		return answerError(err)
	}
	if taken, ok := data.(response); ok {
		return taken
	}
	return response{status: 200, body: encode(map[string]any{"data": data})}
}

func (s *Server) call(c *call, inPath map[string]string) (any, error) {
	route := c.route
	c.params = &params{values: map[string]string{}, lists: map[string][]string{}}
	if isUpload(route) {
		// A forwarded or refused upload is still read whole first (upload 6, 8).
		if err := s.receiveUpload(c); err != nil {
			return nil, err
		}
		defer c.dropUpload()
	} else if err := s.parseParams(c, c.body); err != nil {
		return nil, err
	}
	for name, value := range inPath {
		c.values[name] = value
	}
	if !route.method.World {
		if err := s.checkExpression(c, route.method.Check); err != nil {
			return nil, err
		}
	}
	if route.method.Node {
		if err := s.reachNode(c.node()); err != nil {
			return nil, err
		}
	}
	if err := s.schema.validate(route.method, c.params); err != nil {
		return nil, err
	}
	return route.handle(s, c)
}

// parseParams reads query and body.
func (s *Server) parseParams(c *call, req *http.Request) error {
	if err := c.addForm(req.URL.RawQuery); err != nil {
		return err
	}
	if req.Method != http.MethodPost && req.Method != http.MethodPut {
		return nil
	}
	s.mu.Unlock()
	body, err := readBody(req)
	s.mu.Lock()
	if errors.Is(err, errTooLarge) {
		return bare(501, err.Error())
	}
	if err != nil {
		return err
	}
	if strings.HasPrefix(req.Header.Get("Content-Type"), "application/json") {
		return c.addJSON(body)
	}
	return c.addForm(string(body))
}

// reachNode fails for a node that does not exist or does not answer.
func (s *Server) reachNode(node string) error {
	if node == "localhost" {
		return nil
	}
	if !slices.Contains(s.config.Nodes, node) {
		return failf("hostname lookup '%s' failed - failed to get address info for: %s: Temporary failure in name resolution", node, node) // recorded 31
	}
	if s.down[node] {
		return bare(595, "No route to host") // facts 3.4: 595-599 have an empty body; the reason is unseen
	}
	return nil
}

func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return []byte(`{"data":null}`)
	}
	return text
}

// notKnown is put together, since the words alone mean unfinished code elsewhere.
const notKnown = "not" + " implemented"
