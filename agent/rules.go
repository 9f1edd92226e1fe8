package agent

import (
	"path"
	"slices"
	"strings"
)

// rule is one reason to look at a changed file before it is merged or checked out.
type rule struct {
	name string // stable: programs compare it
	why  string // which program runs it, and when
	// match by path. All matching ignores case: so do the file systems of some laptops.
	match func(p string) bool
	// look reads the new content and says what is in it; empty: nothing to flag. nil: the
	// path is enough.
	look func(path string, content []byte) string
	// mode that the rule is about; empty: that of any file.
	mode string
}

// Modes of git's trees.
const (
	modeSymlink = "120000"
	modeCommit  = "160000" // of a submodule
)

// rules are all of them, the most dangerous first. A file is flagged by each rule that it
// matches. docs/agent.md lists them.
func rules() []rule {
	return []rule{
		{name: "git-directory", why: "a .git directory inside the tree: git runs its hooks and configuration", match: inGitDirectory},
		{name: "symlink", why: "a symbolic link out of the tree: what is written to it changes another file of this host", mode: modeSymlink, look: lookSymlink},
		{name: "name", why: "its name cannot be displayed as it is, or looks like another one", match: deceptive},
		{
			name: "git-hooks", why: "git runs it at commit, merge or push once these hooks are installed",
			match: anyOf(below(".githooks", ".husky", ".git-hooks"), named(".pre-commit-config.yaml", ".pre-commit-config.yml", ".pre-commit-hooks.yaml", "lefthook.y*ml", ".lefthook.y*ml", ".overcommit.yml", ".lintstagedrc*")),
		},
		{name: "submodule", why: "git submodule update fetches from this URL and checks out what it finds", match: named(".gitmodules"), look: lookModules},
		{name: "submodule", why: "git submodule update fetches from this URL and checks out what it finds", mode: modeCommit, look: func(string, []byte) string { return "a submodule" }},
		{name: "git-attributes", why: "git runs the filter, diff or merge driver of that name in your configuration on these files", match: named(".gitattributes"), look: lookAttributes},
		{name: "git-config", why: "configuration of git or git-lfs that can be included, and names commands or servers", match: named(".gitconfig", ".lfsconfig")},
		{name: "shell", why: "direnv, mise or a similar program runs or loads it when a shell enters the directory", match: anyOf(named(".envrc", ".env", ".env.*", ".autoenv", ".autoenv.zsh", ".mise.toml", "mise.toml", ".mise.*.toml", ".tool-versions", ".rtx.toml"), below(".direnv", ".mise"))},
		{name: "vscode", why: "VS Code runs its tasks and uses its settings when the folder is opened and trusted", match: anyOf(below(".vscode"), named("*.code-workspace"))},
		{name: "emacs", why: "Emacs evaluates it when a file of the directory is visited", match: named(".dir-locals.el", ".dir-locals-2.el", ".projectile", "Eldev", "Cask")},
		{name: "editor", why: "an editor or a tool for it runs it when the project is opened", match: anyOf(below(".idea", ".devcontainer", ".zed", ".fleet", ".nvim"), named(".exrc", ".nvimrc", ".nvim.lua", ".vimrc", ".lvimrc", ".devcontainer.json", "*.sublime-project", ".clangd"))},
		{name: "agent", why: "a code agent on this host runs its hooks and servers, or follows it as instructions", match: anyOf(
			below(".claude", ".opencode", ".codex", ".gemini", ".cursor", ".windsurf", ".continue", ".aider"),
			named(".mcp.json", "mcp.json", "CLAUDE.md", "CLAUDE.local.md", "AGENTS.md", "GEMINI.md", "opencode.json", "opencode.jsonc", ".cursorrules", ".windsurfrules", ".clinerules", ".aider.conf.yml", "copilot-instructions.md"))},
		{name: "ci", why: "the forge runs it, with the secrets of the project, once it is pushed", match: anyOf(
			below(".github/workflows", ".github/actions", ".forgejo/workflows", ".gitea/workflows", ".circleci", ".buildkite", ".builds", ".ci", ".gitlab", ".woodpecker", ".teamcity"),
			named(".gitlab-ci.y*ml", ".woodpecker.y*ml", ".travis.yml", ".drone.y*ml", ".build.yml", "Jenkinsfile", "azure-pipelines.y*ml", "bitbucket-pipelines.yml", "appveyor.yml", ".appveyor.yml", ".cirrus.yml", "cloudbuild.y*ml", "buildspec.yml", "action.y*ml", "dependabot.yml", "renovate.json"))},
		{name: "make", why: "a build runs it", match: anyOf(
			named("Makefile", "GNUmakefile", "Makefile.*", "*.mk", "justfile", ".justfile", "Taskfile.y*ml", "CMakeLists.txt", "*.cmake", "CMakePresets.json", "meson.build", "configure", "configure.ac", "autogen.sh", "*.m4",
				"SConstruct", "BUILD", "BUILD.bazel", "WORKSPACE", "WORKSPACE.bazel", "MODULE.bazel", "*.bzl", ".bazelrc", "Rakefile", "build.gradle*", "settings.gradle*", "init.gradle*", "gradlew", "gradlew.bat", "gradle.properties", "pom.xml", "mvnw", "mvnw.cmd",
				"build.sbt", "build.zig", "Dockerfile", "Dockerfile.*", "*.dockerfile", "Containerfile", "docker-compose*.y*ml", "compose.y*ml", "docker-bake.*", "Vagrantfile", "Procfile", "Tiltfile", "Earthfile", "magefile.go", "*.csproj", "*.props", "*.targets", "mix.exs", "dune", "Package.swift"),
			below("gradle/wrapper", ".mvn", ".bazel", "project/plugins"))},
		{name: "rust", why: "cargo runs it, or takes its compiler and runner from it, at every build, also those of an editor", match: anyOf(named("build.rs", "rust-toolchain", "rust-toolchain.toml"), below(".cargo"))},
		{name: "rust", why: "Cargo.toml names build scripts, procedural macros and sources of packages", match: named("Cargo.toml")},
		{name: "python", why: "Python, pip or pytest runs it on import, installation or test, also those of an editor", match: named("conftest.py", "setup.py", "setup.cfg", "pyproject.toml", "sitecustomize.py", "usercustomize.py", "*.pth", "pytest.ini", "tox.ini", "noxfile.py", "tasks.py", "fabfile.py", "Pipfile")},
		{name: "node", why: "npm, yarn or pnpm runs these scripts on installation", match: named("package.json"), look: lookPackage},
		{name: "node", why: "npm, yarn, pnpm or bun takes its registry, hooks or code from it", match: anyOf(named(".npmrc", ".yarnrc", ".yarnrc.yml", ".pnp.cjs", ".pnp.loader.mjs", ".pnpmfile.cjs", "pnpm-workspace.yaml", "bunfig.toml", "binding.gyp"), below(".yarn"))},
		{name: "node", why: "the tool of that name, or an editor's extension for it, runs it", match: named("*.config.js", "*.config.cjs", "*.config.mjs", "*.config.ts", "*.config.mts", "*.config.cts", ".eslintrc*", ".prettierrc*", ".stylelintrc*", ".babelrc*", "gulpfile.*", "Gruntfile.*", ".mocharc*")},
		{name: "ruby-php", why: "bundler or composer runs it on installation", match: named("Gemfile", "*.gemspec", "composer.json", ".pryrc", ".irbrc", ".rspec")},
		{name: "nix", why: "nix evaluates it, and a shell may run its hooks", match: named("flake.nix", "shell.nix", "default.nix", "devenv.nix", "devenv.yaml")},
		{name: "lock", why: "it decides which foreign code the next installation downloads and runs", match: named("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb", "deno.lock", "Cargo.lock", "poetry.lock", "uv.lock", "pdm.lock", "pylock*.toml", "Pipfile.lock", "requirements*.txt", "constraints*.txt",
			"go.sum", "go.mod", "go.work", "Gemfile.lock", "composer.lock", "flake.lock", "devenv.lock", "mix.lock", "pubspec.lock", "packages.lock.json", "Package.resolved", "gradle.lockfile", "conan.lock", ".terraform.lock.hcl")},
	}
}

// named matches the last part of a path, with * as in a shell.
func named(patterns ...string) func(string) bool {
	words, globs := map[string]bool{}, []string(nil)
	for _, p := range patterns {
		if p = strings.ToLower(p); strings.Contains(p, "*") {
			globs = append(globs, p)
		} else {
			words[p] = true
		}
	}
	return func(p string) bool {
		base := strings.ToLower(path.Base(p))
		return words[base] || slices.ContainsFunc(globs, func(g string) bool {
			ok, err := path.Match(g, base)
			return ok && err == nil
		})
	}
}

// below matches a directory at any depth, and everything in it.
func below(directories ...string) func(string) bool {
	for i, d := range directories {
		directories[i] = "/" + strings.ToLower(d) + "/"
	}
	return func(p string) bool {
		p = "/" + strings.ToLower(p) + "/"
		return slices.ContainsFunc(directories, func(d string) bool { return strings.Contains(p, d) })
	}
}

func anyOf(matches ...func(string) bool) func(string) bool {
	return func(p string) bool {
		return slices.ContainsFunc(matches, func(m func(string) bool) bool { return m(p) })
	}
}
