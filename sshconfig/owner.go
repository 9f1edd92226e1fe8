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

// hardLinks is the number of names of a file.
func hardLinks(info os.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink)
	}
	return 1
}
