// Package version identifies the build.
package version

import "runtime/debug"

// number is set by the linker: `make build` passes -X with what git describes.
var number string

// String returns the version of this build: the number that `make build` put in,
// else the module version of a `go install ...@v1.2.3`, else "dev".
func String() string {
	if number != "" {
		return number
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}
