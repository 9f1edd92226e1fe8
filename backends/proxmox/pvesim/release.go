package pvesim

import (
	"maps"
	"slices"
	"strings"
)

// Parameters that came after 8.3, by the release (facts 1, table of releases).
var newParameters = []struct {
	major, minor int
	method, name string
}{
	{8, 4, "POST /nodes/{node}/qemu", "virtiofs[n]"},
	{8, 4, "POST /nodes/{node}/qemu/{vmid}/config", "virtiofs[n]"},
	{8, 4, "PUT /nodes/{node}/qemu/{vmid}/config", "virtiofs[n]"},
	{9, 0, "POST /nodes/{node}/qemu/{vmid}/status/start", "nets-host-mtu"},
	{9, 0, "POST /nodes/{node}/qemu/{vmid}/status/start", "with-conntrack-state"},
	{9, 0, "PUT /storage/{storage}", "snapshot-as-volume-chain"},
	{9, 1, "GET /nodes/{node}/qemu/{vmid}/agent/file-read", "count"},
	{9, 1, "GET /nodes/{node}/qemu/{vmid}/agent/file-read", "offset"},
	{9, 1, "GET /nodes/{node}/qemu/{vmid}/agent/file-read", "decode"},
	{9, 1, "POST /nodes/{node}/qemu", "allow-ksm"},
	{9, 1, "POST /nodes/{node}/qemu/{vmid}/config", "allow-ksm"},
	{9, 1, "PUT /nodes/{node}/qemu/{vmid}/config", "allow-ksm"},
	{9, 1, "POST /nodes/{node}/qemu", "intel-tdx"},
	{9, 1, "POST /nodes/{node}/qemu/{vmid}/config", "intel-tdx"},
	{9, 1, "PUT /nodes/{node}/qemu/{vmid}/config", "intel-tdx"},
	{9, 1, "POST /nodes/{node}/qemu", "ha-managed"},
}

// adaptSchema makes the schema of 9.1 that of the configured release.
func (s *Server) adaptSchema() {
	for _, p := range newParameters {
		if m := s.schema.Methods[p.method]; m != nil && !atLeast(s.config.Version, p.major, p.minor) {
			m.Parameters = maps.Clone(m.Parameters)
			delete(m.Parameters, p.name)
		}
	}
	if atLeast(s.config.Version, 9, 0) {
		return
	}
	// Before 9.0 the guest agent needs VM.Monitor for everything (facts 1).
	for name, m := range s.schema.Methods {
		if strings.Contains(name, "/agent") && len(m.Check) > 2 {
			m.Check = slices.Clone(m.Check[:2])
			m.Check = append(m.Check, []any{"VM.Monitor"})
		}
	}
}
