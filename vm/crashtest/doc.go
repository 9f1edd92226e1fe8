// Package crashtest kills the daemon's core with SIGKILL in the middle of operations, and
// checks what the next one makes of it: on both kinds of the fake backend at every step
// and after every method that changes something, and on a real QEMU guest where only that
// shows something. Package vm does the same at every single journal entry.
package crashtest
