package pvesim

import (
	"fmt"
	"strconv"
)

func consoleHandlers() map[string]handler {
	base := "/nodes/{node}/qemu/{vmid}/"
	return map[string]handler{
		"POST " + base + "vncproxy":    vncProxy,
		"POST " + base + "termproxy":   termProxy,
		"GET " + base + "vncwebsocket": websocket,
	}
}

// A consoleTicket is what vncproxy and termproxy give out, once.
type consoleTicket struct {
	who    string
	path   string
	port   int
	vmid   int
	serial bool
}

// firstConsolePort is that of the first console (recorded 429).
const firstConsolePort = 5900

// vncProxy is recorded 429 and 623.
func vncProxy(s *Server, c *call) (any, error) { return s.console(c, "vncproxy", false) }

// termProxy answers like vncProxy, without a password (schema; the handshake was
// never seen).
func termProxy(s *Server, c *call) (any, error) { return s.console(c, "vncproxy", true) }

func (s *Server) console(c *call, kind string, serial bool) (any, error) {
	vm, err := s.vm(c)
	if err != nil {
		return nil, err
	}
	if serial && vm.conf["serial0"] == "" {
		return nil, failf("unable to find a serial interface") // source
	}
	port := firstConsolePort
	for _, ticket := range s.consoles {
		port = max(port, ticket.port+1)
	}
	ticket := "PVEVNC:00000000::" + randomHex(24)
	upid := s.run(c, vm.node, kind, strconv.Itoa(vm.id), func(*task) error { return nil })
	s.consoles[ticket] = consoleTicket{who: c.who.id, path: fmt.Sprintf("/vms/%d", vm.id), port: port, vmid: vm.id, serial: serial}
	answer := map[string]any{"port": strconv.Itoa(port), "ticket": ticket, "upid": upid, "user": c.who.id}
	if !serial {
		answer["cert"] = string(s.CertificatePEM)
		password := randomHex(4)
		if c.flag("websocket") || c.flag("generate-password") {
			answer["password"] = password
		}
	}
	return answer, nil
}

// verifyVNCTicket needs the port that belongs to the ticket (facts 7, Console;
// recorded 624). The tickets of tokens are for 9.1 and later.
func verifyVNCTicket(s *Server, c *call) (any, error) {
	ticket, ok := s.consoles[c.get("vncticket")]
	if !ok || ticket.who != c.get("authid") || ticket.path != c.get("path") || c.number("port") != ticket.port {
		s.pause(authDelay)
		return nil, bare(401, "authentication failure")
	}
	return nil, nil
}
