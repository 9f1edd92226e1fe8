package pvesim

import (
	"fmt"
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
	// Disks are those with a file: what was uploaded for the volume, not to be
	// written to, and the key such as scsi0.
	Disks []Disk
}

// A Disk is a drive of a [VM].
type Disk struct {
	Key    string
	Volume string
	Format string
	Media  string
	Size   int64
	File   string
}

// Machines runs the inside of started VMs.
type Machines interface {
	// Start runs a VM.
	Start(vm VM) (Machine, error)
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
