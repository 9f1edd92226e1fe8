package pvesim

// agent is what the guest agent of a VM reports.
func (s *Server) agent(vm *machine) Agent {
	if s.config.Agent != nil {
		return s.config.Agent(s.describe(vm))
	}
	return DefaultAgent(s.describe(vm))
}
