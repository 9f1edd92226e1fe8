package machine

import (
	"errors"

	"github.com/pelletier/go-toml/v2"
)

// parseAgent only checks that agent.toml is TOML: what it means is known to
// the part that sets up agents.
func parseAgent(m *Machine, t text) error {
	err := toml.Unmarshal(t.data, &map[string]any{})
	if err == nil {
		m.AgentTOML = string(t.data)
		return nil
	}
	number := 0
	var at *toml.DecodeError
	if errors.As(err, &at) {
		number, _ = at.Position()
	}
	return t.fault(number, "correct the TOML; strings need quotes", "%s", err)
}
