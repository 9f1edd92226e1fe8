package agent

import (
	"slices"
	"strings"
	"testing"
)

// samples are files that each rule flags, with their content where that matters, by the
// name of the rule.
var samples = map[string]map[string]string{
	"git-directory":  {".git/hooks/post-checkout": "", "sub/.GIT/config": "", "a/git~1/x": "", ".g\u200cit/x": "", ".git. /x": ""},
	"name":           {"a\x1b[31m": "", "\u202etxt.exe": "", "\xff": "", "dir/--upload-pack=x": "", "line\nbreak": ""},
	"git-hooks":      {".githooks/pre-commit": "", ".husky/pre-push": "", ".pre-commit-config.yaml": "", "lefthook.yml": ""},
	"git-config":     {".gitconfig": "", ".lfsconfig": ""},
	"shell":          {".envrc": "", "sub/.envrc": "", ".ENVRC": "", ".mise.toml": "", ".env.local": ""},
	"vscode":         {".vscode/tasks.json": "", "app.code-workspace": "", "sub/.vscode/settings.json": ""},
	"emacs":          {".dir-locals.el": "", ".dir-locals-2.el": ""},
	"editor":         {".idea/workspace.xml": "", ".exrc": "", ".nvim.lua": "", ".devcontainer/devcontainer.json": ""},
	"agent":          {".mcp.json": "", ".claude/settings.json": "", "CLAUDE.md": "", "sub/AGENTS.md": "", ".cursor/rules": "", "opencode.json": ""},
	"ci":             {".github/workflows/ci.yml": "", ".gitlab-ci.yml": "", ".woodpecker.yaml": "", "Jenkinsfile": "", ".forgejo/workflows/x": ""},
	"make":           {"Makefile": "", "sub/GNUmakefile": "", "rules.mk": "", "justfile": "", "CMakeLists.txt": "", "gradle/wrapper/gradle-wrapper.jar": "", "Dockerfile": ""},
	"rust":           {"build.rs": "", ".cargo/config.toml": "", ".cargo/config": "", "rust-toolchain.toml": "", "crate/Cargo.toml": ""},
	"python":         {"conftest.py": "", "tests/conftest.py": "", "setup.py": "", "pyproject.toml": "", "evil.pth": ""},
	"node":           {".npmrc": "", ".pnpmfile.cjs": "", "vite.config.ts": "", ".eslintrc.js": "", "package.json": `{"scripts": {"postinstall": "x"}}`, "a/package.json": `not JSON`},
	"ruby-php":       {"Gemfile": "", "composer.json": ""},
	"nix":            {"flake.nix": "", "shell.nix": ""},
	"lock":           {"package-lock.json": "", "yarn.lock": "", "Cargo.lock": "", "uv.lock": "", "go.sum": "", "requirements-dev.txt": "", "flake.lock": ""},
	"git-attributes": {".gitattributes": "*.bin filter=lfs -text\n", "sub/.gitattributes": "[attr]x diff=y\n"},
	"submodule":      {".gitmodules": "[submodule \"x\"]\n\turl = ext::sh -c touch% /tmp/x\n"},
	"symlink":        {"a": "/etc/passwd", "b/c": "../../x", "d": "e/../f", "g": "..", "h": "x/.git/hooks/y"},
}

// harmless are files that no rule flags.
var harmless = map[string]string{
	"README.md": "", "src/main.go": "", "src/lib.rs": "", "docs/make.md": "", "Makefile_notes.txt": "", "envrc": "", "vscode/tasks.json": "",
	"package.json": `{"scripts": {"test": "x"}}`, ".gitattributes": "*.png -text\n# filter=x\n", "github/workflows/x.yml": "", ".gitignore": "", "a.git/x": "",
	"日本語.txt": "", "file with blanks": "",
}

func flaggedBy(r rule, path, content string) (string, bool) {
	if r.match != nil && !r.match(path) {
		return "", false
	}
	if r.look == nil {
		return "", true
	}
	found := r.look(path, []byte(content))
	return found, found != ""
}

func TestEachRuleFlagsItsFilesAndNoOthers(t *testing.T) {
	for _, r := range rules() {
		if len(samples[r.name]) == 0 {
			t.Errorf("rule %s has no sample", r.name)
		}
		if r.name == "symlink" || r.mode == modeCommit {
			continue
		}
		for path, content := range harmless {
			if found, is := flaggedBy(r, path, content); is {
				t.Errorf("%s flags %q: %s", r.name, path, found)
			}
		}
		for name, files := range samples {
			for path, content := range files {
				if _, is := flaggedBy(r, path, content); is && name != r.name && name != "symlink" && name != "name" && r.name != "name" {
					t.Errorf("%s flags %q, a sample of %s", r.name, path, name)
				}
			}
		}
	}
	for name, files := range samples {
		for path, content := range files {
			if !slices.ContainsFunc(rules(), func(r rule) bool {
				_, is := flaggedBy(r, path, content)
				return r.name == name && is
			}) {
				t.Errorf("%s does not flag %q", name, path)
			}
		}
	}
}

func TestEachRuleHasAReasonAndMatchesSomething(t *testing.T) {
	for _, r := range rules() {
		if r.why == "" || strings.ToLower(r.name) != r.name {
			t.Errorf("%+v has no reason, or a name of another form", r.name)
		}
		if r.match == nil && r.mode == "" {
			t.Errorf("%s matches nothing", r.name)
		}
	}
}

func TestLinksInsideTheTreeAreNotFlagged(t *testing.T) {
	for path, target := range map[string]string{"a": "b", "a/b": "../c", "a/b/c": "../../x/y", "x": "./y/z"} {
		if found := lookSymlink(path, []byte(target)); found != "" {
			t.Errorf("%s -> %s: %s", path, target, found)
		}
	}
}

func TestModulesWithOddURLsComeFirst(t *testing.T) {
	got := lookModules("", []byte("[submodule \"a\"]\nurl = https://example.org/a\n[submodule \"b\"] url = ext::sh\nupdate = !sh\nupdate = rebase\n"))
	if want := "url ext::sh, update !sh, https://example.org/a"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestNamesOfBranchesThatGitOrAPersonCannotReadAreRefused(t *testing.T) {
	for _, name := range []string{"main", "dev/claude-work", "fix(parser)", "--upload-pack=touch", "日本", "$(id)", "HEAD"} {
		if err := CheckBranch(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if err := CheckRef(Ref("demo", name)); err != nil {
			t.Errorf("%q: %v", Ref("demo", name), err)
		}
	}
	for _, name := range []string{"", "a b", "a..b", "../x", "a\x1b[31m", "a\u009bm", "a\u202eb", "a\nb", "a:b", "a~1", "x.lock", ".x", "a/.x", "a//b", "/a", "a/", "@", "a@{1}", "a\\b", "\xff", strings.Repeat("x", 300)} {
		if CheckBranch(name) == nil {
			t.Errorf("%q is accepted", name)
		}
	}
	for _, ref := range []string{"refs/heads/main", "refs/nixvm/demo", "refs/nixvm/", "refs/nixvm/demo/../../heads/main", "--output=x"} {
		if CheckRef(ref) == nil {
			t.Errorf("%q is accepted", ref)
		}
	}
}

func TestAPathInTheVMIsAbsoluteOrInTheHome(t *testing.T) {
	for in, want := range map[string]string{"": "/home/user/project", "~/x": "/home/user/x", "/srv/x/": "/srv/x", "~/../x": "/home/x"} {
		if got, err := RepositoryPath(in, "/home/user"); got != want || err != nil {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"x", "-x", "~other/x", "/a\nb"} {
		if got, err := RepositoryPath(in, "/home/user"); err == nil {
			t.Errorf("%q: %q", in, got)
		}
	}
}
