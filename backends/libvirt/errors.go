package libvirt

import "errors"

// errClosed is returned by operations on a closed Backend.
var errClosed = errors.New("the libvirt backend is closed")
