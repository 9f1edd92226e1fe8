package repotest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fileConstant = regexp.MustCompile(`(?m)^\t\w+ += "([^"]+)"`)
	tomlKey      = regexp.MustCompile("`toml:\"([a-z_]+)\"`")
)

// TestDocumentsNameWhatTheSourceDeclares keeps pages that are written by hand
// complete: they may say more than the source, not less.
func TestDocumentsNameWhatTheSourceDeclares(t *testing.T) {
	for _, c := range []struct {
		source, page, quote string
		names               *regexp.Regexp
	}{
		{"machine/files.go", "docs/machine-directory.md", "`", fileConstant},
		{"backends/qemu/files.go", "docs/layout.md", "", fileConstant},
		{"vm/config.go", "docs/configuration.md", "", tomlKey},
	} {
		page := read(t, c.page)
		found := c.names.FindAllStringSubmatch(read(t, c.source), -1)
		if len(found) < 5 {
			t.Errorf("%s: only %d names found: this test looks for the wrong thing", c.source, len(found))
		}
		for _, m := range found {
			if strings.HasPrefix(m[1], ".") {
				continue // hidden, for moments
			}
			if !strings.Contains(page, c.quote+m[1]+c.quote) {
				t.Errorf("%s does not mention %q, which %s declares", c.page, m[1], c.source)
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
