package pvesim

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
)

// A VM is what a guest is told about its machine.
type VM struct {
	ID     int
	Node   string
	Name   string
	Config map[string]string
	// Disks are its drives in the order of their keys.
	Disks []Disk
}

// A Disk is a drive of a [VM].
type Disk struct {
	Key    string
	Volume string
	Format string
	Media  string
	Size   int64
	// File is that of the volume: with [Disks] its own, else, not to be written to,
	// what was uploaded for it; empty where there is none.
	File string
}

// Machines runs the inside of started VMs.
type Machines interface {
	// Start runs a VM.
	Start(vm VM) (Machine, error)
}

// Disks are Machines whose guests write to their disks. Then each volume is a file
// on top of the one that it was imported, cloned or taken back from.
type Disks interface {
	// Overlay makes a qcow2 file of the size of a disk on top of its file, which is
	// never written to from then on, or an empty one for a disk without a file.
	Overlay(base Disk) (path string, err error)
}

// A Machine is a running VM.
type Machine interface {
	// PowerDown asks the guest to end, and does not wait.
	PowerDown()
	// Kill ends it at once. It may be called more than once.
	Kill()
	// Done is closed when it has ended.
	Done() <-chan struct{}
}

// A Live machine is one whose hardware changes while it runs, and whose guest has an
// agent of its own.
type Live interface {
	Machine
	// Pause stops the processors, Resume lets them go on, Reset presses the button.
	Pause() error
	Resume() error
	Reset() error
	// Branch has the disks, by their keys, written to other files from one moment on.
	Branch(files map[string]string) error
	// Resize makes a disk larger, in bytes.
	Resize(key string, size int64) error
	// Insert puts another file into a CD drive; an empty name takes the medium out.
	Insert(key, file string) error
	// Console opens the serial port, which one client has at a time.
	Console() (io.ReadWriteCloser, error)
	// Ask sends a command such as guest-ping to the guest's agent. An answer of the
	// agent that is an error is an [AgentError].
	Ask(command string, arguments any) (json.RawMessage, error)
}

// An AgentError is what the agent of a guest answers to what it cannot do.
type AgentError struct {
	Class string `json:"class"`
	Desc  string `json:"desc"`
}

func (e *AgentError) Error() string { return e.Desc }

// Memory runs nothing: a started VM only counts as running.
type Memory struct {
	// Deaf guests do not react to the power button.
	Deaf bool
}

// Start returns a machine that runs until it is told to end.
func (m Memory) Start(VM) (Machine, error) {
	return &memoryMachine{deaf: m.Deaf, done: make(chan struct{})}, nil
}

type memoryMachine struct {
	deaf bool
	once sync.Once
	done chan struct{}
}

func (m *memoryMachine) PowerDown() {
	if !m.deaf {
		m.Kill()
	}
}

func (m *memoryMachine) Kill() { m.once.Do(func() { close(m.done) }) }

func (m *memoryMachine) Done() <-chan struct{} { return m.done }

// An Agent is what the guest agent of a VM reports.
type Agent struct {
	// Absent agents do not answer.
	Absent     bool
	Interfaces []Interface
	// Disabled are commands such as guest-fsfreeze-freeze that the agent refuses.
	Disabled []string
	// Run runs a program of the guest; nil for one that succeeds without output.
	Run func(command []string, input string) (output string, code int)
}

// An Interface is one of the guest.
type Interface struct {
	Name      string
	MAC       string
	Addresses []netip.Prefix
}

// DefaultAgent has a loopback, and an interface with an address of
// [DefaultSubnet] for each net of the VM.
func DefaultAgent(vm VM) Agent {
	agent := Agent{Interfaces: []Interface{{Name: "lo", MAC: "00:00:00:00:00:00", Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")}}}}
	for i := range 32 {
		net, ok := vm.Config[fmt.Sprintf("net%d", i)]
		if !ok {
			continue
		}
		address := DefaultSubnet.Addr().As4()
		address[3] = byte(1 + (vm.ID+i)%250)
		agent.Interfaces = append(agent.Interfaces, Interface{
			Name: fmt.Sprintf("eth%d", i), MAC: strings.ToLower(macOf(net)), Addresses: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4(address), DefaultSubnet.Bits())},
		})
	}
	return agent
}

// macOf is the address of a net such as "virtio=BC:24:11:94:12:47,bridge=vmbr0".
func macOf(net string) string {
	for _, part := range strings.Split(net, ",") {
		if _, value, ok := strings.Cut(part, "="); ok && macAddr.MatchString(value) {
			return value
		}
	}
	return ""
}
