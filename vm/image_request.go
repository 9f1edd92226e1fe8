package vm

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
)

// isFile tells a file or an URL from the name of a kind of image.
func isFile(image string) bool {
	return filepath.IsAbs(image) || strings.ContainsRune(image, os.PathSeparator)
}

func imageRequest(kind string, mode machine.Mode, profiles []string) nixbuild.Request {
	return nixbuild.Request{Kind: kind, Mode: string(mode), Profiles: profiles}
}
