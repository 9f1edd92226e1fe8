package machine

import (
	"os"
	"strings"
	"testing"
)

func TestTheManualNamesEveryFile(t *testing.T) {
	manual, err := os.ReadFile("../docs/machine-directory.md")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{HostKeyPubFile, GenerationFile, MediumLabel, newPrefix, trashPrefix}
	for _, s := range settings {
		names = append(names, s.file)
	}
	for _, name := range names {
		if !strings.Contains(string(manual), "`"+name) {
			t.Errorf("docs/machine-directory.md does not name %s", name)
		}
	}
}
