// Package story runs what nixvm is for, on real guests: create, connect,
// snapshot, restore, destroy, and a daemon that dies meanwhile. It holds tests
// only; each script begins with what its user does.
package story
