// Package agent brings the work of a code agent out of its VM: it fetches a branch of a
// git repository in the guest into a checkout on this host, and says what in it could
// run here.
//
// The guest is hostile, and so is the git that it runs. What it sends passes through
// these:
//
//   - Transport. The local git starts no ssh and reads no address: it speaks with
//     git-upload-pack in the guest through two pipes (git-remote-fd(1)), which this
//     package copies, counts and bounds. All other protocols are off. Protocol version 0
//     is requested, which has neither bundle URIs nor packfile URIs.
//   - Quarantine. The objects go into a bare repository of their own first, checked by
//     fsck, with limits of bytes, time and memory. It reads the objects of the checkout as
//     alternates, so that only new ones are transferred. The checkout gets what has passed.
//   - One reference, refs/nixvm/MACHINE/BRANCH. No tags, no submodules, no FETCH_HEAD, no
//     hooks, no checkout: the work tree, the index and the user's branches stay as they are.
//   - Review: commits, files and flags are read from the objects. A flag is a changed file
//     that a program on this host may run, from the table in rules.go.
//
// No text of the guest goes to a terminal or an editor from here: names are quoted as
// they are collected, and the messages of git are for errors, from which the server of the
// protocol removes control characters.
package agent
