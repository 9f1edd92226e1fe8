package nix

import (
	"os/exec"
	"regexp"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
)

// shownOutput is how many last lines of a builder stand in the message.
const shownOutput = 10

var (
	fullDisk    = regexp.MustCompile(`(?i)no space left on device|disk quota exceeded|database or disk is full`)
	exitCode    = regexp.MustCompile(`(?:failed|builder failed) (?:with exit code \d+|due to signal \d+(?: \([^)]*\))?|to produce output path for output '[^']*')`)
	assertions  = regexp.MustCompile(`(?s)Failed assertions:\s*(.*)`)
	sourceTrail = regexp.MustCompile(`(?s)\n\s*(?:… |at |\d+\||\|).*`)
)

// advice is what helps against an error that nix words like this, in all the
// versions that we know of. The first that matches counts.
var advice = []struct {
	text  *regexp.Regexp
	hint  string
	retry bool
}{
	{
		text: regexp.MustCompile(`(?i)could ?n[o']t resolve host|could not connect|couldn't connect|failed to connect|connection (?:refused|timed out)|timeout was reached|unable to download|network is unreachable`),
		hint: "check the network, and the substituters and proxies of nix.conf; completed downloads are kept", retry: true,
	},
	{
		text: regexp.MustCompile(`(?i)unfree licen[sc]e|refusing to evaluate package|allowUnfree`),
		hint: "allow it in the profile that requires it: nixpkgs.config.allowUnfreePredicate = pkg: builtins.elem (lib.getName pkg) [ \"NAME\" ];",
	},
	{
		text: regexp.MustCompile(`experimental (?:Nix )?feature '`),
		hint: "this nix, or its daemon, does not allow flakes: add \"experimental-features = nix-command flakes\" to nix.conf",
	},
	{
		text: regexp.MustCompile(`requires lock file changes|cannot find flake '|is not allowed to use|cannot write modified lock file`),
		hint: "an input of the flake has no lock: nix flake lock FLAKE",
	},
	{
		text: regexp.MustCompile(`does not provide attribute|attribute '[^']*' (?:missing|in selection path)|undefined variable`),
		hint: "check that name in the flake and its profiles; a package may be called something else in this nixpkgs",
	},
	{
		text: regexp.MustCompile(`option .* does not exist|definition .* is not of type|has conflicting definition values`),
		hint: "an option does not exist or has another type in this nixpkgs: see https://search.nixos.org/options, or set it with lib.mkForce",
	},
	{text: regexp.MustCompile(`syntax error`), hint: "correct the file and build again"},
	{
		text: regexp.MustCompile(`hash mismatch|NAR hash mismatch`),
		hint: "the download does not match the pinned hash: update the hash, or the lock with nix flake update",
	},
	{
		text: regexp.MustCompile(`is required to build|required \(system, features\)|requires? a .* with features|platform mismatch|missing system features`),
		hint: "nix.conf on this host has no builder for that system or with that feature: see system-features, extra-platforms and builders there",
	},
	{text: regexp.MustCompile(`requires Nix >= |This version of Nixpkgs requires`), hint: InstallHint},
	{
		text: regexp.MustCompile(`(?i)(?:/nix/|store|db\.sqlite|daemon-socket).*(?:permission denied|read-only file system)|cannot connect to socket at`),
		hint: "this account cannot use the Nix store: check that the nix-daemon is running and that the account is allowed to use it",
	},
}

// explain makes the problem of a nix that failed.
func explain(f Failure, exit *exec.ExitError) error {
	message := strings.TrimSpace(f.Message)
	if message == "" {
		message = "nix ended with " + exit.String() + " and printed nothing"
	}
	if fullDisk.MatchString(message) || f.Derivation != "" && fullDisk.MatchString(strings.Join(f.Output, "\n")) {
		return problem.New(problem.DiskFull, "no space left while building: %s", f.summary(message)).
			WithHint("free some space: nix store gc, and nixvmd image gc; the full disk may be that of /nix or of TMPDIR")
	}
	if f.Derivation != "" {
		return problem.New(problem.ImageBuildFailed, "%s", f.summary(message)).
			WithHint("full output: nix-store --read-log %s", f.Derivation)
	}
	// What the flake refuses by itself, in its own words.
	if _, own, ok := strings.Cut(message, "nixvm: "); ok {
		own, _, _ = strings.Cut(own, "\n")
		return problem.New(problem.ImageBuildFailed, "%s", own)
	}
	if m := assertions.FindStringSubmatch(message); m != nil {
		return problem.New(problem.ImageBuildFailed, "the profiles are incompatible: %s", words(m[1])).
			WithHint("change the profiles accordingly")
	}
	p := problem.New(problem.ImageBuildFailed, "nix cannot build this: %s", f.summary(message)).
		WithHint("the complete output of nix is in the log of the operation: --verbose shows it")
	for _, a := range advice {
		if a.text.MatchString(message) {
			p.Hint, p.Retryable = a.hint, a.retry
			break
		}
	}
	return p
}

// summary is the failure in a few lines, the most telling last.
func (f Failure) summary(message string) string {
	if f.Derivation == "" {
		return strings.TrimSpace(sourceTrail.ReplaceAllString(message, "")) + f.where()
	}
	how := exitCode.FindString(message)
	how = strings.TrimPrefix(how, "builder ")
	if how == "" {
		how = "failed"
	}
	text := "the build of " + DerivationName(f.Derivation) + " " + how
	if len(f.Output) == 0 {
		return text + " without any output"
	}
	return text + ":\n  " + strings.Join(f.Output[max(0, len(f.Output)-shownOutput):], "\n  ")
}

// words joins the assertions, "- text" each, as the profiles have written them.
func words(list string) string {
	var all []string
	for line := range strings.Lines(sourceTrail.ReplaceAllString(list, "")) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, strings.TrimPrefix(line, "- "))
		}
	}
	return strings.Join(all, "; ")
}
