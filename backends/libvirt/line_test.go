package libvirt

import (
	"encoding/binary"
	"testing"
)

func TestALibvirtdThatAnswersTwiceEndsNoDaemon(t *testing.T) {
	reply := make([]byte, headerSize)
	for i, field := range []uint32{headerSize, remoteProgram, remoteVersion, openConsole, typeReply, 7, statusOK} {
		binary.BigEndian.PutUint32(reply[4*i:], field)
	}
	tp := &tap{opened: make(chan struct{})}
	tp.watch(reply)
	tp.watch(reply)
	select {
	case <-tp.opened:
	default:
		t.Error("the answer was not seen")
	}
}
