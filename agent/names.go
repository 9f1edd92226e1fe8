package agent

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nixvm/nixvm/internal/problem"
)

// refPrefix begins the references that are written.
const refPrefix = "refs/nixvm/"

// maxBranch bounds the name of a branch in bytes: it becomes a path in .git/refs.
const maxBranch = 200

// Ref returns the reference in the checkout for a branch of a machine.
func Ref(machine, branch string) string { return refPrefix + machine + "/" + branch }

// CheckRef refuses what Ref does not return.
func CheckRef(ref string) error {
	rest, ok := strings.CutPrefix(ref, refPrefix)
	_, branch, _ := strings.Cut(rest, "/")
	if !ok || branch == "" || CheckBranch(branch) != nil {
		return problem.BadField("ref", "must be refs/nixvm/MACHINE/BRANCH, not %.80q", ref)
	}
	return nil
}

// CheckBranch refuses the name of a branch that git does not accept (git
// check-ref-format), or that a person cannot read: the guest chooses it.
func CheckBranch(branch string) error {
	if why := badBranch(branch); why != "" {
		return problem.BadField("branch", "%.80q %s", branch, why).WithHint("rename the branch in the VM: git branch -m NEW")
	}
	return nil
}

func badBranch(branch string) string {
	switch {
	case branch == "":
		return "is empty"
	case len(branch) > maxBranch:
		return "is too long"
	case !utf8.ValidString(branch):
		return "is not UTF-8"
	case strings.ContainsFunc(branch, unreadable):
		return "contains characters that cannot be displayed"
	case strings.ContainsAny(branch, " ~^:?*[\\") || strings.Contains(branch, "..") || strings.Contains(branch, "@{") || strings.Contains(branch, "//"):
		return "is not the name of a branch"
	case branch == "@" || strings.HasPrefix(branch, "/") || strings.HasSuffix(branch, "/") || strings.HasSuffix(branch, "."):
		return "is not the name of a branch"
	}
	for part := range strings.SplitSeq(branch, "/") {
		if strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock") {
			return "is not the name of a branch"
		}
	}
	return ""
}

// unreadable reports whether a character is invisible, or changes how others are displayed.
func unreadable(r rune) bool { return !unicode.IsPrint(r) }

// DefaultRepository is where an agent works unless another path is given.
const DefaultRepository = "~/project"

// RepositoryPath returns the absolute path in the guest that a user means: it is
// absolute already, or begins with ~/. home is that of the account.
func RepositoryPath(repository, home string) (string, error) {
	if repository == "" {
		repository = DefaultRepository
	}
	if rest, ok := strings.CutPrefix(repository, "~/"); ok {
		repository = path.Join(home, rest)
	}
	if !path.IsAbs(repository) || strings.ContainsFunc(repository, unicode.IsControl) {
		return "", problem.BadField("repository", "%.80q is not a path in the VM", repository).WithHint("use an absolute path, or one that begins with ~/")
	}
	return path.Clean(repository), nil
}
