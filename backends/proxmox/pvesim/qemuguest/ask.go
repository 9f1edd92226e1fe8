package qemuguest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
)

// The limits of conversations. An agent that is there answers at once, as a real server
// expects it to within 3 s; a command may take its time.
const (
	monitorLimit = 20 * time.Second
	agentLimit   = 3 * time.Second
	commandLimit = time.Minute
)

// longest answer, which a guest may choose.
const longest = 4 << 20

// A conversation is one with QEMU, or with the agent of a guest.
type conversation struct {
	net.Conn
	lines *bufio.Scanner
}

func dial(socket string, limit time.Duration) (*conversation, error) {
	conn, err := net.DialTimeout("unix", socket, limit)
	if err != nil {
		return nil, fmt.Errorf("ask QEMU: %w", err)
	}
	c := &conversation{conn, bufio.NewScanner(conn)}
	c.lines.Buffer(nil, longest)
	return c, c.patience(limit)
}

func (c *conversation) patience(limit time.Duration) error {
	return c.SetDeadline(time.Now().Add(limit))
}

// greet begins the conversation with QEMU.
func (c *conversation) greet() error {
	if !c.lines.Scan() {
		return c.ended()
	}
	_, err := c.ask("qmp_capabilities", nil)
	return err
}

// synchronize begins the conversation with an agent.
func (c *conversation) synchronize() error {
	id := rand.Int64N(1 << 40)
	if err := c.send("guest-sync", map[string]int64{"id": id}); err != nil {
		return err
	}
	for {
		answer, err := c.answer()
		var refused *pvesim.AgentError
		if err != nil && !errors.As(err, &refused) {
			return err
		}
		if string(answer) == fmt.Sprint(id) {
			return nil
		}
	}
}

func (c *conversation) ask(command string, arguments any) (json.RawMessage, error) {
	if err := c.send(command, arguments); err != nil {
		return nil, err
	}
	return c.answer()
}

func (c *conversation) send(command string, arguments any) error {
	message := map[string]any{"execute": command}
	if arguments != nil {
		message["arguments"] = arguments
	}
	text, err := json.Marshal(message)
	if err == nil {
		_, err = c.Write(append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("ask QEMU: %w", err)
	}
	return nil
}

// answer is the next one. Events are passed over.
func (c *conversation) answer() (json.RawMessage, error) {
	for c.lines.Scan() {
		var message struct {
			Return json.RawMessage    `json:"return"`
			Error  *pvesim.AgentError `json:"error"`
		}
		if err := json.Unmarshal(bytes.TrimLeft(c.lines.Bytes(), "\xff"), &message); err != nil {
			return nil, fmt.Errorf("ask QEMU: %w", err)
		}
		if message.Error != nil {
			return nil, message.Error
		}
		if message.Return != nil {
			return message.Return, nil
		}
	}
	return nil, c.ended()
}

func (c *conversation) ended() error {
	if err := c.lines.Err(); err != nil {
		return fmt.Errorf("ask QEMU: no answer: %w", err)
	}
	return errors.New("ask QEMU: it has ended")
}
