package sshconfig

import "github.com/nixvm/nixvm/internal/forward"

// Forward is a remote forward: the guest listens, the host is dialled. What is a
// valid one says package forward.
type Forward = forward.Forward
