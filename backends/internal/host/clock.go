package host

import "golang.org/x/sys/unix"

// ClockSynchronised reports whether this host's kernel knows that its clock is right,
// as an NTP client tells it (adjtimex(2)).
func ClockSynchronised() bool {
	var now unix.Timex // no modes: it only reads
	state, err := unix.Adjtimex(&now)
	return err == nil && state != unix.TIME_ERROR && now.Status&unix.STA_UNSYNC == 0
}
