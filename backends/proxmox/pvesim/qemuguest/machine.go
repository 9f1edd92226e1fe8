package qemuguest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"sync"
	"time"
)

// A machine is a QEMU.
type machine struct {
	qmp, agent, serial string
	cmd                *exec.Cmd
	done               chan struct{}

	asking sync.Mutex // the agent has one conversation at a time
}

// command sends one command to QEMU.
func (m *machine) command(name string, arguments any) error {
	c, err := dial(m.qmp, monitorLimit)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.greet(); err != nil {
		return err
	}
	_, err = c.ask(name, arguments)
	return err
}

// answers waits until QEMU does: its sockets are not there at once.
func (m *machine) answers() error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(monitorLimit)
	defer limit.Stop()
	for {
		err := m.command("query-status", nil)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-m.done:
			return errors.New("QEMU has ended at once")
		case <-limit.C:
			return err
		}
	}
}

// PowerDown presses the power button.
func (m *machine) PowerDown() { _ = m.command("system_powerdown", nil) }

// Kill ends QEMU and waits for it.
func (m *machine) Kill() {
	_ = m.cmd.Process.Kill()
	<-m.done
}

// Done is closed when QEMU has ended.
func (m *machine) Done() <-chan struct{} { return m.done }

// Pause stops the processors.
func (m *machine) Pause() error { return m.command("stop", nil) }

// Resume lets the processors go on.
func (m *machine) Resume() error { return m.command("cont", nil) }

// Reset presses the reset button.
func (m *machine) Reset() error { return m.command("system_reset", nil) }

// Branch puts the files, which were made on top of those in use, in their places, all at
// the same moment.
func (m *machine) Branch(files map[string]string) error {
	var actions []any
	for key, file := range files {
		data := map[string]any{"device": "drive-" + key, "snapshot-file": file, "format": "qcow2", "mode": "existing"}
		actions = append(actions, map[string]any{"type": "blockdev-snapshot-sync", "data": data})
	}
	return m.command("transaction", map[string]any{"actions": actions})
}

// Resize makes a disk larger.
func (m *machine) Resize(key string, size int64) error {
	return m.command("block_resize", map[string]any{"device": "drive-" + key, "size": size})
}

// Insert changes the medium of a CD drive, which the guest may have locked.
func (m *machine) Insert(key, file string) error {
	if err := m.command("eject", map[string]any{"id": key, "force": true}); err != nil || file == "" {
		return err
	}
	return m.command("blockdev-change-medium", map[string]any{"id": key, "filename": file, "format": "raw"})
}

// Console connects to the serial port.
func (m *machine) Console() (io.ReadWriteCloser, error) {
	conn, err := net.DialTimeout("unix", m.serial, monitorLimit)
	if err != nil {
		return nil, fmt.Errorf("the serial port of QEMU: %w", err)
	}
	return conn, nil
}

// Ask sends a command to the agent. The answers to what others have asked before, while
// there was no agent, are passed over.
func (m *machine) Ask(command string, arguments any) (json.RawMessage, error) {
	m.asking.Lock()
	defer m.asking.Unlock()
	c, err := dial(m.agent, agentLimit)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.synchronize(); err != nil {
		return nil, err
	}
	if err := c.patience(commandLimit); err != nil {
		return nil, err
	}
	return c.ask(command, arguments)
}
