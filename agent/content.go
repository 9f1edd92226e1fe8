package agent

import (
	"encoding/json"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxContent is how much of a file is looked at, in bytes. A larger one is flagged.
const maxContent = 1 << 20

// maxPath is the longest path that this host can have (PATH_MAX).
const maxPath = 4096

// inGitDirectory reports whether a part of a path is the .git directory to some file
// system: fsck refuses these (hasDotgit), and this does not depend on its settings.
func inGitDirectory(p string) bool {
	for part := range strings.SplitSeq(strings.ReplaceAll(p, "\\", "/"), "/") {
		// HFS+ ignores invisible characters; NTFS ignores dots and blanks at the end, and
		// streams, and has a short name.
		part = strings.Map(func(r rune) rune {
			if unicode.Is(unicode.Cf, r) {
				return -1
			}
			return unicode.ToLower(r)
		}, part)
		part, _, _ = strings.Cut(part, ":")
		part = strings.TrimRight(part, ". ")
		if part == ".git" || part == "git~1" {
			return true
		}
	}
	return false
}

// garbled reports whether a path cannot be displayed as it is.
func garbled(p string) bool {
	return !utf8.ValidString(p) || len(p) > maxPath || strings.ContainsFunc(p, unreadable)
}

// deceptive reports whether a path is garbled, or an option to a program that gets it.
func deceptive(p string) bool {
	return garbled(p) || strings.HasPrefix(p, "-") || strings.Contains(p, "/-")
}

// lookSymlink says where a symbolic link leads if that is not certainly inside the tree.
func lookSymlink(p string, target []byte) string {
	t := string(target)
	if strings.ContainsRune(t, 0) || len(t) > maxPath {
		return "to a target that is not a path"
	}
	if path.IsAbs(t) || strings.HasPrefix(t, "~") {
		return "to " + t
	}
	depth, plain := strings.Count(p, "/"), false
	for part := range strings.SplitSeq(t, "/") {
		switch {
		case part == "" || part == ".":
		case part != "..":
			plain = true
		case plain, depth == 0:
			// After a name, ".." leads to wherever that name, if it is a link, points to.
			return "to " + t
		default:
			depth--
		}
	}
	if inGitDirectory(t) {
		return "to " + t
	}
	return ""
}

// lookModules lists the URLs of .gitmodules. Those of other transports than https and ssh
// come first.
func lookModules(_ string, content []byte) string {
	var odd, usual []string
	for line := range strings.SplitSeq(string(content), "\n") {
		key, value, found := strings.Cut(line, "=")
		key = key[strings.LastIndex(key, "]")+1:] // the header of a section may precede it
		key, value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
		switch {
		case !found || key != "url" && key != "update":
		case key == "update" && !strings.HasPrefix(value, "!"):
		case key == "url" && (strings.HasPrefix(value, "https://") || strings.HasPrefix(value, "ssh://")):
			usual = append(usual, value)
		default:
			odd = append(odd, key+" "+value)
		}
	}
	all := slices.Concat(odd, usual)
	if len(all) == 0 {
		return "no URL"
	}
	return strings.Join(all[:min(len(all), 5)], ", ")
}

// lookAttributes lists what in .gitattributes makes git run a program.
func lookAttributes(_ string, content []byte) string {
	var found []string
	for line := range strings.SplitSeq(string(content), "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		for _, word := range strings.Fields(line) {
			name, _, _ := strings.Cut(word, "=")
			if (name == "filter" || name == "diff" || name == "merge" || name == "textconv") && !slices.Contains(found, word) {
				found = append(found, word)
			}
		}
	}
	return strings.Join(found[:min(len(found), 5)], ", ")
}

// installScripts are those that a package manager runs unasked.
var installScripts = []string{"preinstall", "install", "postinstall", "preprepare", "prepare", "postprepare", "prepublish", "prepublishOnly", "prepack", "postpack", "dependencies"}

// lookPackage lists the scripts of a package.json that run on installation.
func lookPackage(_ string, content []byte) string {
	var p struct {
		Scripts map[string]any `json:"scripts"`
	}
	if err := json.Unmarshal(content, &p); err != nil {
		return "it cannot be parsed" // another parser may be less strict
	}
	var found []string
	for _, name := range installScripts {
		if _, ok := p.Scripts[name]; ok {
			found = append(found, name)
		}
	}
	return strings.Join(found, ", ")
}
