package rpc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"

	"github.com/nixvm/nixvm/backends"
)

// presence is a file as it was when the daemon began.
type presence struct {
	path string
	info os.FileInfo // nil: it was not there, and cannot be lost
}

func presenceOf(path string) presence {
	info, err := os.Lstat(path)
	if err != nil {
		info = nil // systemd may pass a socket that is no file
	}
	return presence{path, info}
}

// lost reports whether the file is not there any more, or another one is.
func (p presence) lost() bool {
	if p.info == nil {
		return false
	}
	now, err := os.Lstat(p.path)
	return err != nil || !os.SameFile(p.info, now)
}

// lost names the file without which this daemon cannot be found, neither by clients nor
// the next daemon; "" = all are there.
func (l *Listener) lost() string {
	for _, p := range []presence{l.socket, l.state} {
		if p.lost() {
			return p.path
		}
	}
	return ""
}

// awaitLoss returns the file when one by which this daemon is found has gone. It
// waits for events of the directories, and returns an error when it cannot, or
// when ctx ends.
func (l *Listener) awaitLoss(ctx context.Context) (string, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return "", err
	}
	defer w.Close()
	for _, p := range []presence{l.socket, l.state} {
		if dir := filepath.Dir(p.path); p.info != nil {
			if err := w.Add(dir); err != nil && !os.IsNotExist(err) {
				return "", fmt.Errorf("watch %s: %w", dir, err)
			}
		}
	}
	for {
		path := l.lost()
		if ctx.Err() != nil {
			return "", ctx.Err() // then it is the end of the server that has removed the socket
		}
		if path != "" {
			return path, nil
		}
		select {
		case _, ok := <-w.Events:
			if !ok {
				return "", fsnotify.ErrClosed
			}
		case err := <-w.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return "", err
			}
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// watchLoss ends the server, by its context, when it can no longer be found. A
// daemon that stayed would work on the same machines as the next one.
func (srv *Server) watchLoss(ctx context.Context, l *Listener, end context.CancelCauseFunc) {
	path, err := l.awaitLoss(ctx)
	switch {
	case err == nil:
		srv.log.Error("this daemon exits: its file has been removed, and no client would find it; VMs keep running", "path", path, "running", srv.runningVMs())
		end(fmt.Errorf("%s has been removed", path))
	case ctx.Err() == nil:
		srv.log.Warn("the removal of the socket will not be noticed", "error", err)
	}
}

// runningVMs are the names of the VMs that run.
func (srv *Server) runningVMs() []string {
	var names []string
	for _, v := range srv.core.List() {
		if v.State == backends.Running {
			names = append(names, v.Name)
		}
	}
	return names
}
