package sshconfig

import (
	"os"
	"syscall"
)

// chownLike gives f the owner and group of the original. Only root can, and
// only root needs to.
func chownLike(f *os.File, original os.FileInfo) error {
	if original == nil {
		return nil
	}
	want, ok := original.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if have, ok := fi.Sys().(*syscall.Stat_t); ok && have.Uid == want.Uid && have.Gid == want.Gid {
		return nil
	}
	return f.Chown(int(want.Uid), int(want.Gid))
}

// hardLinked reports whether the file has other names.
func hardLinked(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Nlink > 1
}

// ownerOf is the number of the user that the file belongs to.
func ownerOf(info os.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return os.Getuid()
}
