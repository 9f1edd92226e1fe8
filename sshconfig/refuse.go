package sshconfig

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Refuse tells the ssh at the other end of a ProxyCommand why there is no
// connection. in and out are the proxy's standard input and output, on which
// nothing was written yet. ssh then prints
//
//	Received disconnect from UNKNOWN port 65535:2: <reason>
//
// and exits with 255. Standard error is no way to say it: with ControlPersist,
// ssh sends that of a ProxyCommand to /dev/null (measured on 9.2). So the proxy
// speaks as much SSH as it needs: an identification and a disconnect message,
// which before the key exchange is plain text (RFC 4253, 4.2, 6 and 11.1).
//
// Refuse returns when ssh has closed its side.
func Refuse(in io.Reader, out io.Writer, reason string) error {
	const disconnect, protocolError = 1, 2
	reason = firstLine(reason)
	payload := []byte{disconnect}
	payload = binary.BigEndian.AppendUint32(payload, protocolError)
	payload = binary.BigEndian.AppendUint32(payload, uint32(len(reason)))
	payload = append(payload, reason...)
	payload = binary.BigEndian.AppendUint32(payload, 0) // language tag

	// The packet is a multiple of 8 bytes with at least 4 of padding.
	padding := 8 - (5+len(payload))%8
	if padding < 4 {
		padding += 8
	}
	packet := []byte("SSH-2.0-nixvmd\r\n")
	packet = binary.BigEndian.AppendUint32(packet, uint32(1+len(payload)+padding))
	packet = append(packet, byte(padding))
	packet = append(packet, payload...)
	packet = append(packet, make([]byte, padding)...)
	if _, err := out.Write(packet); err != nil {
		return fmt.Errorf("tell ssh %q: %w", reason, err)
	}
	// Ending at once would break ssh's own identification off, and it would
	// print that instead.
	_, err := io.Copy(io.Discard, in)
	return err
}
