package pvesim

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
)

// websocket opens the connection of a console with the ticket and port that
// vncproxy or termproxy gave. A token may do so since 9.1 (facts 1 and 7, Console:
// 101 with a token); before, it needs the ticket of a user (source).
func websocket(s *Server, c *call) (any, error) {
	ticket, ok := s.consoles[c.get("vncticket")]
	if !ok || ticket.who != c.who.id || ticket.port != c.number("port") || ticket.vmid != c.number("vmid") || c.who.token != nil && !atLeast(s.config.Version, 9, 1) {
		return nil, bare(401, "permission denied - invalid PVEVNC ticket") // source
	}
	key := c.body.Header.Get("Sec-WebSocket-Key")
	if key == "" || !strings.EqualFold(c.body.Header.Get("Upgrade"), "websocket") {
		return nil, bare(400, "missing websocket headers") // unseen
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455, 1.3
	header := [][2]string{{"Upgrade", "websocket"}, {"Connection", "upgrade"}, {"Sec-WebSocket-Accept", base64.StdEncoding.EncodeToString(sum[:])}}
	if strings.Contains(c.body.Header.Get("Sec-WebSocket-Protocol"), "binary") {
		header = append(header, [2]string{"Sec-WebSocket-Protocol", "binary"})
	}
	greeting := c.who.id + ":" + c.get("vncticket")
	var guest Live
	if vm := s.vms[ticket.vmid]; vm != nil {
		guest, _ = vm.guest.(Live)
	}
	return response{status: 101, reason: "Switching Protocols", header: header, takeover: func(conn net.Conn, r *bufio.Reader) {
		_ = serveTerminal(conn, r, greeting, guest) // it ends with the connection
	}}, nil
}

// serveTerminal speaks the protocol of termproxy (source, pve-xtermjs; never
// seen): the first message says who it is and is answered OK; then "0:LENGTH:DATA"
// is input, "1:COLUMNS:ROWS:" a new size, "2" a sign of life. The simulated
// terminal sends input back; that of a real guest is its serial port.
func serveTerminal(conn net.Conn, r *bufio.Reader, greeting string, guest Live) error {
	first, err := readFrame(r)
	if err != nil {
		return err
	}
	if strings.TrimSuffix(string(first), "\n") != greeting {
		return writeFrame(conn, opClose, nil)
	}
	if err := writeFrame(conn, opBinary, []byte("OK")); err != nil {
		return err
	}
	send := func(input []byte) error { return writeFrame(conn, opBinary, input) }
	if guest != nil {
		serial, err := guest.Console()
		if err != nil {
			return err
		}
		ended := make(chan struct{})
		defer func() { serial.Close(); <-ended }()
		go func() {
			defer close(ended)
			defer conn.Close() // the guest has ended
			_, _ = io.Copy(frames{conn}, serial)
		}()
		send = func(input []byte) error {
			_, err := serial.Write(input)
			return err
		}
	}
	for {
		message, err := readFrame(r)
		if err != nil {
			return err
		}
		kind, rest, _ := strings.Cut(string(message), ":")
		_, input, ok := strings.Cut(rest, ":")
		if kind != "0" || !ok {
			continue
		}
		if err := send([]byte(input)); err != nil {
			return err
		}
	}
}

// frames writes each piece as a frame.
type frames struct{ io.Writer }

func (f frames) Write(p []byte) (int, error) { return len(p), writeFrame(f.Writer, opBinary, p) }

// Kinds of frames (RFC 6455, 5.2).
const (
	opBinary = 2
	opClose  = 8
	opPing   = 9
)

// maxFrame bounds a message from a client.
const maxFrame = 1 << 20

// readFrame reads one unfragmented frame of a client, which masks it.
func readFrame(r *bufio.Reader) ([]byte, error) {
	for {
		var head [2]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return nil, err
		}
		size := uint64(head[1] & 0x7f)
		switch size {
		case 126:
			var long uint16
			if err := binary.Read(r, binary.BigEndian, &long); err != nil {
				return nil, err
			}
			size = uint64(long)
		case 127:
			if err := binary.Read(r, binary.BigEndian, &size); err != nil {
				return nil, err
			}
		}
		if size > maxFrame || head[1]&0x80 == 0 {
			return nil, errors.New("a frame that is too long, or not masked")
		}
		masked := make([]byte, 4+size)
		if _, err := io.ReadFull(r, masked); err != nil {
			return nil, err
		}
		data := masked[4:]
		for i := range data {
			data[i] ^= masked[i%4]
		}
		switch head[0] & 0x0f {
		case opClose:
			return nil, io.EOF
		case opPing, opPing + 1:
			continue
		}
		return data, nil
	}
}

func writeFrame(w io.Writer, op byte, data []byte) error {
	frame := []byte{0x80 | op}
	switch n := len(data); {
	case n < 126:
		frame = append(frame, byte(n))
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, 126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 127), uint64(n))
	}
	_, err := w.Write(append(frame, data...))
	return err
}
