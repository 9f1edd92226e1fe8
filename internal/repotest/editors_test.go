package repotest

import (
	"encoding/json"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// editors are the plug-ins: where their sources are, how these end, and how a method is
// quoted in them.
var editors = []struct{ name, dir, ext, quote, generated string }{
	{"emacs", "editor/emacs", ".el", `"`, ""},
	{"vscode", "editor/vscode/src", ".ts", "'", "protocol.ts"},
}

// unused are the methods that an editor does not use, with the reason. "*" is both.
var unused = map[string]map[string]string{
	"nixvm/version":        {"*": "the answer to initialize has the version"},
	"nixvm/machine/get":    {"vscode": "the daemon pushes machines; Emacs asks for the machine of a file before the first push"},
	"nixvm/machine/delete": {"*": "nixvm/vm/purge does the same for machines without a VM"},
	"nixvm/vm/network":     {"*": "figures of the isolation; nixvmd status shows them"},
	"nixvm/vm/disk":        {"*": "machines have the sizes of their disks; nixvmd status measures at once"},
	"nixvm/operation/list": {"*": "the daemon pushes operations"},
	"nixvm/operation/get":  {"*": "the daemon pushes operations"},
	"nixvm/ssh/preview":    {"*": "both pass the daemon's configuration to ssh; ~/.ssh/config is the business of nixvmd ssh"},
	"nixvm/ssh/apply":      {"emacs": "it passes the daemon's configuration to ssh, which Remote-SSH cannot"},
	"nixvm/ssh/remove":     {"*": "like nixvm/ssh/preview"},
	"nixvm/ssh/endpoint":   {"emacs": "ssh asks for the endpoint through its ProxyCommand; only Remote-SSH shows the start itself"},
}

// TestEveryMethodIsUsedByBothEditors keeps what the daemon can do within reach of both.
func TestEveryMethodIsUsedByBothEditors(t *testing.T) {
	var doc struct {
		Methods []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(read(t, "rpc/openrpc.json")), &doc); err != nil || len(doc.Methods) < 50 {
		t.Fatalf("%d methods, %v", len(doc.Methods), err)
	}
	known := map[string]bool{}
	for _, e := range editors {
		source := sources(t, e.dir, e.ext, e.generated)
		for _, m := range doc.Methods {
			known[m.Name] = true
			uses := strings.Contains(source, e.quote+m.Name+e.quote)
			reason := unused[m.Name][e.name] + unused[m.Name]["*"]
			switch {
			case strings.HasPrefix(m.Name, "nixvm/") && !uses && reason == "":
				t.Errorf("%s does not use %s: give users a way to it, or add the reason to the list of this test", e.name, m.Name)
			case uses && reason != "":
				t.Errorf("%s uses %s: remove it from the list of this test", e.name, m.Name)
			}
		}
	}
	for name := range unused {
		if !known[name] {
			t.Errorf("there is no method %s: remove it from the list of this test", name)
		}
	}
}

// sources are the texts of the files of a directory, tests and generated ones left out.
func sources(t *testing.T, dir, ext, generated string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(filepath.Join(top, dir), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "test" || entry.Name() == "bench" || entry.Name() == "node_modules"):
			return fs.SkipDir
		case strings.HasSuffix(path, ext) && entry.Name() != generated:
			rel, err := filepath.Rel(top, path)
			if err != nil {
				return err
			}
			all.WriteString(read(t, rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
