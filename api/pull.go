package api

import (
	"cmp"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
)

// PullParams requests a branch of a repository in the guest.
type PullParams struct {
	Work
	// Name of the machine, whose VM is running.
	Name string `json:"name"`
	// Directory is the absolute path of the checkout on the daemon's host.
	Directory string `json:"directory"`
	// Repository in the guest: an absolute path, or one that begins with ~/; absent =
	// ~/project.
	Repository string `json:"repository,omitempty"`
	// Branch in the guest; absent = the one that is checked out there.
	Branch string `json:"branch,omitempty"`
	// MaxBytes is how much the guest may send; absent = 1 GiB.
	MaxBytes int64 `json:"maxBytes,omitempty"`
}

// Validate implements Params.
func (p PullParams) Validate() error {
	err := cmp.Or(checkName(p.Name), checkRequired("directory", p.Directory), checkPath("directory", p.Directory),
		checkLine("repository", p.Repository), checkLine("branch", p.Branch), p.Work.Validate())
	if err == nil && p.MaxBytes < 0 {
		err = problem.BadField("maxBytes", "must not be negative")
	}
	return err
}

// ReviewParams names a branch that was pulled.
type ReviewParams struct {
	Tokens
	// Directory is the absolute path of the checkout.
	Directory string `json:"directory"`
	// Ref is the reference that a pull has written, refs/nixvm/MACHINE/BRANCH.
	Ref string `json:"ref"`
}

// Validate implements Params.
func (p ReviewParams) Validate() error {
	return cmp.Or(checkRequired("directory", p.Directory), checkPath("directory", p.Directory), checkRequired("ref", p.Ref), checkLine("ref", p.Ref))
}

// ReviewResult is what a pulled branch adds to the checkout: everything since its merge
// base with HEAD. All text in it comes from the guest; it has no control characters.
type ReviewResult struct {
	// Directory of the checkout.
	Directory string `json:"directory"`
	// Ref is the reference.
	Ref string `json:"ref"`
	// Commit that it points to.
	Commit string `json:"commit"`
	// Base is the merge base with HEAD; absent if they have no common history.
	Base string `json:"base,omitempty"`
	// Commits since then, newest first: at most 200.
	Commits []ReviewCommit `json:"commits"`
	// CommitCount is the number of all.
	CommitCount int `json:"commitCount"`
	// Files that differ, by path: at most 1000.
	Files []ReviewFile `json:"files"`
	// FileCount is the number of all.
	FileCount int `json:"fileCount"`
	// Flags are the changes that could run on this host, the most dangerous first. All
	// files are examined.
	Flags []ReviewFlag `json:"flags"`
	// Incomplete says why not everything was examined; absent = everything was.
	Incomplete string `json:"incomplete,omitempty"`
}

// ReviewCommit is a commit.
type ReviewCommit struct {
	// ID is its full object name.
	ID string `json:"id"`
	// Author's name.
	Author string `json:"author"`
	// Date of the author; absent if it is not a date.
	Date time.Time `json:"date,omitzero"`
	// Subject is the first line of its message.
	Subject string `json:"subject"`
}

// ReviewFile is a file that differs.
type ReviewFile struct {
	// Path in the tree. One with characters that cannot be displayed is quoted, with
	// escapes as in Go and C.
	Path string `json:"path"`
	// Status is "added", "modified", "deleted" or "retyped" (a file became a link, for
	// example).
	Status string `json:"status"`
	// Added lines; absent for a binary file, or if they were not counted.
	Added *int `json:"added,omitempty"`
	// Deleted lines, likewise.
	Deleted *int `json:"deleted,omitempty"`
}

// ReviewFlag is a reason to look at files before they are merged or checked out.
type ReviewFlag struct {
	// Rule is its name, stable across versions, e.g. "shell" or "ci".
	Rule string `json:"rule"`
	// Why says which program could run them, and when.
	Why string `json:"why"`
	// Paths of the files, as in ReviewFile, with what was found in them: at most 20.
	Paths []ReviewPath `json:"paths"`
	// Count is the number of all.
	Count int `json:"count"`
}

// ReviewPath is a flagged file.
type ReviewPath struct {
	// Path in the tree.
	Path string `json:"path"`
	// Found in its content, e.g. the URL of a submodule.
	Found string `json:"found,omitempty"`
}
