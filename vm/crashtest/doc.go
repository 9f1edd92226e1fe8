// Package crashtest kills the daemon's core with SIGKILL in the middle of
// operations on a real QEMU guest, and checks what the next one makes of it.
// Package vm does the same at every single journal entry with a fake backend;
// here fewer places, and everything real.
package crashtest
