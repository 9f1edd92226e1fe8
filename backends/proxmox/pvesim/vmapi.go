package pvesim

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"maps"
	"strconv"
	"strings"
)

func vmHandlers() map[string]handler {
	return map[string]handler{
		"GET /nodes/{node}/qemu":                       listVMs,
		"POST /nodes/{node}/qemu":                      createVM,
		"DELETE /nodes/{node}/qemu/{vmid}":             destroyVM,
		"GET /nodes/{node}/qemu/{vmid}/config":         readConfig,
		"PUT /nodes/{node}/qemu/{vmid}/config":         putConfig,
		"POST /nodes/{node}/qemu/{vmid}/config":        postConfig,
		"GET /nodes/{node}/qemu/{vmid}/pending":        readPending,
		"PUT /nodes/{node}/qemu/{vmid}/unlink":         unlink,
		"PUT /nodes/{node}/qemu/{vmid}/resize":         resize,
		"GET /nodes/{node}/qemu/{vmid}/status/current": currentStatus,
	}
}

// listVMs shows those with VM.Audit (schema; recorded 56).
func listVMs(s *Server, c *call) (any, error) {
	list := []map[string]any{}
	for _, id := range s.ids() {
		vm := s.vms[id]
		if vm.node == c.node() && s.may(c, fmt.Sprintf("/vms/%d", id), "VM.Audit") {
			figures := vm.figures()
			if c.flag("full") && vm.running {
				figures["qmpstatus"] = vm.qmpStatus()
			}
			list = append(list, figures)
		}
	}
	return list, nil
}

func (vm *machine) qmpStatus() string {
	switch {
	case !vm.running:
		return "stopped"
	case vm.paused:
		return "paused"
	}
	return "running"
}

// currentStatus is recorded 57 and 391.
func currentStatus(s *Server, c *call) (any, error) {
	vm, err := s.vm(c)
	if err != nil {
		return nil, err
	}
	figures := vm.figures()
	figures["qmpstatus"], figures["ha"] = vm.qmpStatus(), s.haOf(vm.id)
	if vm.agentEnabled() {
		figures["agent"] = 1
	}
	if vm.running {
		nics := map[string]any{}
		for key := range vm.conf {
			if n, ok := strings.CutPrefix(key, "net"); ok {
				nics[fmt.Sprintf("tap%di%s", vm.id, n)] = map[string]int{"netin": 0, "netout": 0}
			}
		}
		figures["nics"] = nics
	}
	return figures, nil
}

// agentEnabled reads the member agent, such as "1" or "enabled=1,type=virtio".
func (vm *machine) agentEnabled() bool {
	first, _, _ := strings.Cut(vm.conf["agent"], ",")
	on, ok := boolean(strings.TrimPrefix(first, "enabled="))
	return ok && on == "1"
}

// digest is that of the configuration file.
func (vm *machine) digest() string {
	sum := sha1.New()
	write := func(conf map[string]string) {
		for _, key := range sortedKeys(conf) {
			fmt.Fprintf(sum, "%s: %s\n", key, conf[key])
		}
	}
	write(vm.conf)
	fmt.Fprintf(sum, "parent: %s\n", vm.parent)
	for _, snap := range vm.snaps {
		fmt.Fprintf(sum, "[%s]\n%s %s %d %s\n", snap.name, snap.description, snap.parent, snap.time, snap.state)
		write(snap.conf)
	}
	for _, key := range sortedKeys(vm.pending) {
		fmt.Fprintf(sum, "pending %s: %v\n", key, vm.pending[key])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// checkDigest refuses a change of what another client changed meanwhile (facts 7, digest).
func (vm *machine) checkDigest(c *call) error {
	if digest := c.get("digest"); digest != "" && digest != vm.digest() {
		return errDigest()
	}
	return nil
}

func errDigest() error { return failf("checksum mismatch (file change by other user?)") }

// readConfig has numbers for what the schema calls a number, text for the rest
// (recorded 54, 381, 507). Changes that wait for a restart are in it, unless
// `current` asks for what runs (schema).
func readConfig(s *Server, c *call) (any, error) {
	vm, err := s.vm(c)
	if err != nil {
		return nil, err
	}
	conf := vm.conf
	if name := c.get("snapshot"); name != "" {
		snap := vm.snapshot(name)
		if snap == nil {
			return nil, failf("snapshot '%s' does not exist", name) // recorded, task of 250's siblings
		}
		conf = snap.conf
	} else if !c.flag("current") {
		conf = vm.withPending()
	}
	typed := s.typed(conf)
	typed["digest"] = vm.digest()
	return typed, nil
}

func (s *Server) typed(conf map[string]string) map[string]any {
	typed := map[string]any{}
	properties := s.schema.Methods["PUT /nodes/{node}/qemu/{vmid}/config"].Parameters
	for key, value := range conf {
		typed[key] = value
		if p := lookup(properties, key); p != nil && (p.Type == "integer" || p.Type == "boolean" || p.Type == "number") {
			if n, err := strconv.ParseFloat(value, 64); err == nil {
				typed[key] = n
			}
		}
	}
	return typed
}

// withPending is the configuration as it will be after a restart.
func (vm *machine) withPending() map[string]string {
	conf := maps.Clone(vm.conf)
	for key, value := range vm.pending {
		if value == nil {
			delete(conf, key)
		} else {
			conf[key] = *value
		}
	}
	return conf
}

// readPending has for each key its value, and what waits for it (schema).
func readPending(s *Server, c *call) (any, error) {
	vm, err := s.vm(c)
	if err != nil {
		return nil, err
	}
	list := []map[string]any{}
	now := s.typed(vm.conf)
	for _, key := range sortedKeys(now) {
		entry := map[string]any{"key": key, "value": now[key]}
		if value, waits := vm.pending[key]; waits && value != nil {
			entry["pending"] = *value
		} else if waits {
			entry["delete"] = 1
		}
		list = append(list, entry)
	}
	for _, key := range sortedKeys(vm.pending) {
		if _, there := now[key]; !there && vm.pending[key] != nil {
			list = append(list, map[string]any{"key": key, "pending": *vm.pending[key]})
		}
	}
	return append(list, map[string]any{"key": "digest", "value": vm.digest()}), nil
}
