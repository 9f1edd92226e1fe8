package pvesim

import "encoding/json"

// execLive has the agent of a real guest start a program.
func (s *Server) execLive(vm *machine, c *call) (answer any, real bool, err error) {
	command := c.lists["command"]
	if len(command) == 0 {
		command = []string{c.get("command")}
	}
	arguments := map[string]any{"path": command[0], "arg": command[1:], "capture-output": true}
	if input := c.get("input-data"); input != "" {
		arguments["input-data"] = []byte(input)
	}
	text, real, err := s.askLive(vm, "guest-exec", arguments)
	if err != nil {
		return nil, real, failf("Agent error: %v", err)
	}
	return text, real, nil
}

// statusOf is a result of a program as the server passes it on: the output in plain
// text, booleans as numbers (recorded 607, 608).
func statusOf(answer json.RawMessage) (any, error) {
	var now struct {
		Exited   bool   `json:"exited"`
		ExitCode int    `json:"exitcode"`
		Signal   int    `json:"signal"`
		Out      []byte `json:"out-data"`
		Err      []byte `json:"err-data"`
	}
	if err := json.Unmarshal(answer, &now); err != nil {
		return nil, failf("Agent error: %v", err) // unseen
	}
	status := map[string]any{"exited": bit(now.Exited)}
	if now.Exited {
		status["exitcode"] = now.ExitCode
	}
	for name, text := range map[string][]byte{"out-data": now.Out, "err-data": now.Err} {
		if len(text) > 0 {
			status[name] = string(text)
		}
	}
	if now.Signal != 0 {
		status["signal"] = now.Signal
	}
	return status, nil
}
