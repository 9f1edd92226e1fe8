// Package guesttest boots images in QEMU for the tests of nixbuild, with the minimum
// that a guest needs and without the backends, so that a defect of a backend is not
// mistaken for one of the image. The identity medium is made by xorriso, which is
// independent of our own writer.
//
//	id := guesttest.NewIdentity(t, "boxone")
//	g := guesttest.Boot(t, guesttest.Config{Image: img, Identity: id, StateDisk: guesttest.NewDisk(t, 2<<30)})
//	out := g.Run(t, "admin", "uname -a")
//
// The guest runs under TCG unless NIXVM_ACCEL says otherwise, and ends with the
// test at the latest, even if the test is killed.
package guesttest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/internal/testproc"
	"github.com/nixvm/nixvm/nixbuild"
)

// Limit bounds every wait for a guest: emulated, on a busy machine, one has
// taken a minute to boot.
const Limit = 4 * time.Minute

// Forwarded are the ports of the guest that can be reached from the host.
var Forwarded = []int{22, 8080, 8081}

// Config is a guest to boot.
type Config struct {
	Image    nixbuild.Image
	Identity Identity
	// StateDisk is the qcow2 of /var; see NewDisk. In mutable mode it is the
	// only disk: see MutableDisk.
	StateDisk string
	UEFI      bool // boot by firmware though the image has a kernel
}

// Guest is a running guest.
type Guest struct {
	Identity Identity
	Started  time.Time

	dir   string
	qemu  *testproc.Process
	qmp   *lineConn
	ports map[int]int
	over  <-chan struct{} // closed when QEMU has ended
}

// Boot starts a guest and returns when its sshd answers with the host key.
func Boot(t testing.TB, c Config) *Guest {
	t.Helper()
	g := Launch(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), Limit)
	defer cancel()
	client, err := g.Dial(ctx, "admin")
	if err != nil {
		t.Fatalf("the guest does not answer by ssh: %v\nits console:\n%s%s", err, g.Console(), g.log("qemu.log"))
	}
	client.Close()
	t.Logf("guest %s: ssh after %.1f s", c.Image.ID, time.Since(g.Started).Seconds())
	return g
}

// Launch starts a guest and does not wait for it.
func Launch(t testing.TB, c Config) *Guest {
	t.Helper()
	need(t, "qemu-system-x86_64", "qemu-system-x86")
	// Sockets have short names only.
	dir, err := os.MkdirTemp("", "guest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	g := &Guest{Identity: c.Identity, Started: time.Now(), dir: dir}
	args, err := g.args(t, c)
	if err != nil {
		t.Fatal(err)
	}
	g.start(t, args)
	ctx, cancel := context.WithTimeout(t.Context(), Limit)
	defer cancel()
	if err := g.connect(ctx); err != nil {
		t.Fatalf("QEMU: %v\n%s", err, g.log("qemu.log"))
	}
	return g
}

func (g *Guest) args(t testing.TB, c Config) ([]string, error) {
	t.Helper()
	accel := os.Getenv("NIXVM_ACCEL")
	if accel == "" || accel == "tcg" {
		accel = "tcg,thread=multi"
	}
	forwards := ""
	for _, p := range Forwarded {
		forwards += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:0-:%d", p)
	}
	args := []string{
		"-machine", "q35", "-accel", accel, "-cpu", "max", "-smp", "2", "-m", "1024", "-nodefaults", "-display", "none", "-no-reboot",
		"-serial", "file:" + g.file("console"), "-qmp", "unix:" + g.file("qmp") + ",server=on,wait=off",
		"-netdev", "user,id=n0" + forwards, "-device", "virtio-net-pci,netdev=n0,romfile=",
		"-device", "virtio-serial-pci", "-chardev", "socket,id=ga,path=" + g.file("ga") + ",server=on,wait=off",
		"-device", "virtserialport,chardev=ga,name=org.qemu.guest_agent.0",
	}
	disk := func(id string, options string) {
		args = append(args, "-drive", "if=none,id="+id+","+options, "-device", "virtio-blk-pci,drive="+id)
	}
	if c.Image.Mode == nixbuild.Mutable {
		disk("d0", "format=qcow2,cache=unsafe,file="+c.StateDisk)
	} else {
		// Read-only in QEMU as well: the guest may not write to it at all.
		disk("d0", "readonly=on,format="+c.Image.Disk.Format+",file="+c.Image.DiskPath())
		disk("d1", "format=qcow2,discard=unmap,cache=unsafe,file="+c.StateDisk)
	}
	medium := g.file("identity.iso")
	need(t, "xorriso", "xorriso")
	image, err := c.Identity.medium()
	if err == nil {
		err = os.WriteFile(medium, image, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("the identity medium: %w", err)
	}
	disk("d2", "readonly=on,format=raw,file="+medium)
	if c.Image.Kernel != "" && !c.UEFI {
		return append(args, "-kernel", c.Image.KernelPath(), "-initrd", c.Image.InitrdPath(), "-append", c.Image.Cmdline), nil
	}
	return g.firmware(args)
}

// firmware adds OVMF, which Debian and its kin put into one place.
func (g *Guest) firmware(args []string) ([]string, error) {
	const dir = "/usr/share/OVMF/"
	vars, err := os.ReadFile(dir + "OVMF_VARS_4M.fd")
	if err != nil {
		return nil, fmt.Errorf("no UEFI firmware: %w\n  sudo apt-get install ovmf", err)
	}
	if err := os.WriteFile(g.file("vars.fd"), vars, 0o600); err != nil {
		return nil, err
	}
	return append(args, "-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+dir+"OVMF_CODE_4M.fd",
		"-drive", "if=pflash,unit=1,format=raw,file="+g.file("vars.fd")), nil
}

func (g *Guest) start(t testing.TB, args []string) {
	t.Helper()
	log, err := os.Create(g.file("qemu.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("qemu-system-x86_64", args...)
	cmd.Stdout, cmd.Stderr = log, log
	g.qemu = testproc.Start(t, cmd)
	g.over = g.qemu.Ended()
	t.Cleanup(func() {
		g.Kill()
		if t.Failed() {
			t.Logf("the guest's console:\n%s", g.Console())
		}
	})
}

// connect waits for QEMU's control socket and asks which ports it forwards.
func (g *Guest) connect(ctx context.Context) error {
	conn, err := dialUnix(ctx, g.file("qmp"), g.over)
	if err != nil {
		return err
	}
	g.qmp = conn
	if _, err := g.qmp.command(ctx, `{"execute":"qmp_capabilities"}`); err != nil {
		return err
	}
	out, err := g.qmp.command(ctx, `{"execute":"human-monitor-command","arguments":{"command-line":"info usernet"}}`)
	if err != nil {
		return err
	}
	g.ports = map[int]int{}
	for _, m := range forwardLine.FindAllStringSubmatch(string(out), -1) {
		host, _ := strconv.Atoi(m[1])
		guest, _ := strconv.Atoi(m[2])
		g.ports[guest] = host
	}
	if len(g.ports) != len(Forwarded) {
		return fmt.Errorf("cannot read the forwarded ports from %s", out)
	}
	return nil
}

var forwardLine = regexp.MustCompile(`HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)`)

// Address is where a port of the guest can be reached from the host.
func (g *Guest) Address(port int) string { return fmt.Sprintf("127.0.0.1:%d", g.ports[port]) }

// Dial connects to the guest's sshd, again and again until ctx ends: QEMU
// accepts before a server listens in the guest.
func (g *Guest) Dial(ctx context.Context, user string) (*ssh.Client, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for patience := time.Second; ; patience = min(patience*5/4, 20*time.Second) {
		client, err := g.dialOnce(ctx, user, patience)
		if err == nil {
			return client, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w, last: %w", ctx.Err(), err)
		case <-g.over:
			return nil, errors.New("QEMU has ended")
		case <-tick.C:
		}
	}
}

// greeted is a connection whose server has sent something.
type greeted struct {
	net.Conn
	from *bufio.Reader
}

func (c greeted) Read(p []byte) (int, error) { return c.from.Read(p) }

// dialOnce waits for the first word of sshd no longer than patience: a connection that
// QEMU took before the guest had a network is only offered to it again after six
// seconds, and then after twelve.
func (g *Guest) dialOnce(ctx context.Context, user string, patience time.Duration) (*ssh.Client, error) {
	plain, err := (&net.Dialer{}).DialContext(ctx, "tcp", g.Address(22))
	if err != nil {
		return nil, err
	}
	conn := greeted{plain, bufio.NewReader(plain)}
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.from.Peek(1); err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(Limit))
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	c, chans, reqs, err := ssh.NewClientConn(conn, g.Address(22), &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(g.Identity.Key)}, HostKeyCallback: ssh.FixedHostKey(g.Identity.HostKey.PublicKey()),
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return ssh.NewClient(c, chans, reqs), nil
}

// Run runs a command in the guest and returns what it prints, without the last
// line end. A failure ends the test.
func (g *Guest) Run(t testing.TB, user, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Limit)
	defer cancel()
	client, err := g.Dial(ctx, user)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	defer context.AfterFunc(ctx, func() { client.Close() })()
	s, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	s.Stdout, s.Stderr = &stdout, &stderr
	if err := s.Run(command); err != nil {
		t.Fatalf("%s: %v\n%s%s", command, err, &stdout, &stderr)
	}
	return strings.TrimRight(stdout.String(), "\n")
}

// PowerOff presses the power button and waits until the guest is off.
func (g *Guest) PowerOff(ctx context.Context) error {
	if _, err := g.qmp.command(ctx, `{"execute":"system_powerdown"}`); err != nil {
		return err
	}
	select {
	case <-g.over:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the guest does not power off: %w", ctx.Err())
	}
}

// Kill pulls the plug.
func (g *Guest) Kill() { g.qemu.Kill() }

// Over is closed when the guest is off.
func (g *Guest) Over() <-chan struct{} { return g.over }

// Agent sends one request to the guest agent and returns its answer, a line of
// JSON.
func (g *Guest) Agent(ctx context.Context, request string) ([]byte, error) {
	conn, err := dialUnix(ctx, g.file("ga"), g.over)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.command(ctx, request)
}

// Console returns what the guest has written to its serial port.
func (g *Guest) Console() string { return g.log("console") }

func (g *Guest) file(name string) string { return filepath.Join(g.dir, name) }

func (g *Guest) log(name string) string {
	data, _ := os.ReadFile(g.file(name))
	return string(data)
}

// need fails the test that lacks a program.
func need(t testing.TB, program, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("this test needs %s\n  sudo apt-get install %s", program, pkg)
	}
}
