package pvesim

// An execution is a program that the guest agent started.
type execution struct {
	output string
	code   int
	asked  bool
}

// execute starts a program (recorded 605, 606).
func execute(s *Server, c *call) (any, error) {
	vm, agent, err := s.askAgent(c)
	if err != nil {
		return nil, err
	}
	if answer, real, err := s.execLive(vm, c); real {
		return answer, err
	}
	done := &execution{}
	if agent.Run != nil {
		done.output, done.code = agent.Run(c.lists["command"], c.get("input-data"))
	}
	s.tasks.pid++
	vm.execs[s.tasks.pid] = done
	return map[string]any{"pid": s.tasks.pid}, nil
}

// execStatus says once that the program runs, and its result once (recorded 607,
// 608, 610).
func execStatus(s *Server, c *call) (any, error) {
	vm, _, err := s.askAgent(c)
	if err != nil {
		return nil, err
	}
	pid := c.number("pid")
	if answer, real, err := s.askLive(vm, "guest-exec-status", map[string]int{"pid": pid}); real {
		if err != nil {
			return nil, failf("Agent error: %v", err)
		}
		return statusOf(answer)
	}
	done := vm.execs[pid]
	if done == nil {
		return nil, failf("Agent error: PID ld does not exist")
	}
	if !done.asked {
		done.asked = true
		return map[string]any{"exited": 0}, nil
	}
	delete(vm.execs, pid)
	status := map[string]any{"exited": 1, "exitcode": done.code}
	if done.output != "" {
		status["out-data"], status["out-truncated"] = done.output, 0
	}
	return status, nil
}

// readFile has what writeFile wrote (facts 7, file-read missing).
func readFile(s *Server, c *call) (any, error) {
	vm, _, err := s.askAgent(c)
	if err != nil {
		return nil, err
	}
	if _, real := vm.guest.(Live); real {
		return nil, failf("the simulator has no access to the files of a real guest")
	}
	content, ok := vm.files[c.get("file")]
	if !ok {
		return nil, failf("Agent error: failed to open file '%s' (mode: 'r'): No such file or directory", c.get("file"))
	}
	return map[string]any{"content": content, "bytes-read": len(content)}, nil
}

// writeFile is recorded 612. The real server encodes the content itself, unless
// `encode` says that it is encoded (facts 3.2).
func writeFile(s *Server, c *call) (any, error) {
	vm, _, err := s.askAgent(c)
	if err != nil {
		return nil, err
	}
	if _, real := vm.guest.(Live); real {
		return nil, failf("the simulator has no access to the files of a real guest")
	}
	content := c.get("content")
	if c.get("encode") == "0" {
		if content, err = decode64(content); err != nil {
			return nil, failf("Agent error: %v", err) // unseen
		}
	}
	if vm.files == nil {
		vm.files = map[string]string{}
	}
	vm.files[c.get("file")] = content
	return nil, nil
}
