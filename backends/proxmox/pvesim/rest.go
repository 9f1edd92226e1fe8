package pvesim

// verifyVNCTicket: consoles are not simulated yet, so no ticket is right.
func verifyVNCTicket(*Server, *call) (any, error) { return nil, bare(401, "authentication failure") }

// restoreVM: backups are not simulated, so no archive exists.
func restoreVM(_ *Server, c *call, _ bool) (any, error) {
	return nil, failf("volume '%s' does not exist", c.get("archive"))
}
