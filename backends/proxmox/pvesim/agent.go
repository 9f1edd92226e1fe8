package pvesim

import (
	"errors"
	"slices"
	"strings"
	"time"
)

func agentHandlers() map[string]handler {
	base := "/nodes/{node}/qemu/{vmid}/agent"
	all := map[string]handler{
		"GET " + base + "/exec-status": execStatus,
		"POST " + base + "/exec":       execute,
		"GET " + base + "/file-read":   readFile,
		"POST " + base + "/file-write": writeFile,
		"POST " + base:                 agentCommand,
	}
	for _, command := range []string{"network-get-interfaces", "get-osinfo", "get-host-name", "info"} {
		all["GET "+base+"/"+command] = agentCommand
	}
	for _, command := range []string{"ping", "fsfreeze-freeze", "fsfreeze-thaw", "fsfreeze-status", "fstrim"} {
		all["POST "+base+"/"+command] = agentCommand
	}
	return all
}

// agent is what the guest agent of a VM reports.
func (s *Server) agent(vm *machine) Agent {
	if _, real, err := s.askLive(vm, "guest-ping", nil); real {
		return Agent{Absent: err != nil}
	}
	if s.config.Agent != nil {
		return s.config.Agent(s.describe(vm))
	}
	return DefaultAgent(s.describe(vm))
}

// agentDelay is how long a real server waits for an absent agent (recorded 396).
const agentDelay = 3 * time.Second

// askAgent fails for a VM that does not run, and for an absent agent (recorded
// 237, 396). A paused guest does not answer either.
func (s *Server) askAgent(c *call) (*machine, Agent, error) {
	vm, err := s.vm(c)
	if err != nil {
		return nil, Agent{}, err
	}
	if !vm.running {
		return nil, Agent{}, failf("VM %d is not running", vm.id)
	}
	if !vm.agentEnabled() {
		return nil, Agent{}, failf("No QEMU guest agent configured") // source
	}
	agent := Agent{}
	if !vm.paused {
		agent = s.agent(vm)
	}
	if agent.Absent || vm.paused || c.fault.is(AgentAbsent) {
		if _, real := vm.guest.(Live); !real { // a real one has taken its time
			s.pause(agentDelay)
		}
		return nil, Agent{}, failf("QEMU guest agent is not running")
	}
	return vm, agent, nil
}

// agentCommand answers {"result": ...}, also where the guest refuses (recorded
// 601, 602, 604, 616, 617).
func agentCommand(s *Server, c *call) (any, error) {
	vm, agent, err := s.askAgent(c)
	if err != nil {
		return nil, err
	}
	command := c.get("command")
	if command == "" {
		command = c.route.segments[len(c.route.segments)-1]
	}
	result := func(v any) (any, error) { return map[string]any{"result": v}, nil }
	if answer, real, err := s.askLive(vm, "guest-"+command, nil); real {
		var refused *AgentError
		if errors.As(err, &refused) {
			return result(map[string]any{"error": refused})
		}
		return map[string]any{"result": answer}, err
	}
	if name := "guest-" + command; slices.Contains(agent.Disabled, name) {
		return result(map[string]any{"error": map[string]any{"class": "CommandNotFound", "desc": "Command " + name + " has been disabled: the command is not allowed"}})
	}
	switch command {
	case "network-get-interfaces":
		return result(agent.report())
	case "get-osinfo":
		return result(map[string]any{"id": "nixos", "name": "NixOS", "pretty-name": "NixOS (simulated)", "machine": "x86_64", "kernel-release": "6.12.0", "kernel-version": "#1"})
	case "get-host-name":
		return result(map[string]any{"host-name": vm.name()})
	case "info":
		return result(map[string]any{"version": "10.0.13", "supported_commands": agent.commands()})
	case "fsfreeze-freeze", "fsfreeze-thaw":
		vm.frozen = command == "fsfreeze-freeze"
		return result(1)
	case "fsfreeze-status":
		return result(map[bool]string{true: "frozen", false: "thawed"}[vm.frozen])
	case "fstrim":
		return result(map[string]any{"paths": []any{}})
	}
	return result(map[string]any{})
}

// report is the list of interfaces; one without an address has no member
// ip-addresses (recorded 602).
func (a Agent) report() []map[string]any {
	list := []map[string]any{}
	for _, i := range a.Interfaces {
		entry := map[string]any{"name": i.Name, "hardware-address": i.MAC}
		var addresses []map[string]any
		for _, prefix := range i.Addresses {
			kind := "ipv6"
			if prefix.Addr().Is4() {
				kind = "ipv4"
			}
			addresses = append(addresses, map[string]any{"ip-address": prefix.Addr().String(), "ip-address-type": kind, "prefix": prefix.Bits()})
		}
		if addresses != nil {
			entry["ip-addresses"] = addresses
			entry["statistics"] = map[string]int{"rx-bytes": 0, "rx-packets": 0, "rx-errs": 0, "rx-dropped": 0, "tx-bytes": 0, "tx-packets": 0, "tx-errs": 0, "tx-dropped": 0}
		}
		list = append(list, entry)
	}
	return list
}

func (a Agent) commands() []map[string]any {
	list := []map[string]any{}
	for name := range strings.FieldsSeq("guest-ping guest-info guest-exec guest-exec-status guest-file-open guest-file-read guest-file-write guest-file-close guest-network-get-interfaces guest-get-osinfo guest-get-host-name guest-fsfreeze-freeze guest-fsfreeze-thaw guest-fsfreeze-status guest-fstrim guest-shutdown guest-sync") {
		list = append(list, map[string]any{"name": name, "enabled": !slices.Contains(a.Disabled, name), "success-response": name != "guest-shutdown"})
	}
	return list
}
