package libvirt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	authList    = 66      // REMOTE_PROC_AUTH_LIST, the first call of every client
	greetAnswer = 4 << 10 // more bytes than its answer can have
)

// greetLibvirt makes one harmless call on a fresh stream and reads the answer: a
// forward of ssh accepts connections also when nothing listens at its other end.
// The stream is then as fresh as before.
func greetLibvirt(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var call [headerSize]byte
	for i, field := range []uint32{headerSize, remoteProgram, remoteVersion, authList} {
		binary.BigEndian.PutUint32(call[4*i:], field)
	}
	if _, err := conn.Write(call[:]); err != nil {
		return errNothingThere
	}
	var length uint32
	if err := binary.Read(conn, binary.BigEndian, &length); err != nil {
		return errNothingThere
	}
	if length < headerSize || length > greetAnswer {
		return errors.New("the server that answers is not libvirtd")
	}
	if _, err := io.CopyN(io.Discard, conn, int64(length)-4); err != nil {
		return fmt.Errorf("the answer of libvirtd: %w", err)
	}
	return nil
}

var errNothingThere = errors.New("no process is listening there, or access is denied")
