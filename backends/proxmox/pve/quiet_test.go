package pve_test

import (
	"io"
	"log" //nolint:depguard // net/http takes nothing else
)

// quiet takes what a test server says of connections that fail on purpose.
var quiet = log.New(io.Discard, "", 0)
