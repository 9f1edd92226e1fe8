package libvirt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

const (
	// controlLimit is for a request to our own ssh, which answers in
	// milliseconds.
	controlLimit = 10 * time.Second
	// stopLimit is for ssh to end after SIGTERM, before it is killed.
	stopLimit = 2 * time.Second
	// loginLimit is for ssh to log in, which a user's agent or proxy command may hold
	// up for ever. All that needs the connection waits meanwhile.
	loginLimit = 30 * time.Second
)

// master is a process of the user's ssh (ControlMaster in ssh_config(5)): with
// their configuration, keys, agent, jump hosts and proxy commands. It listens on
// unix sockets in a private directory, and forwards each to one address on the
// other host.
type master struct {
	control  string            // its control socket
	forwards map[string]string // address there -> socket here; guarded by remote.lock
	errors   *tail
	stop     context.CancelFunc // ends the process
	stopped  <-chan struct{}    // closed by stop
	ended    chan struct{}      // closed when the process has ended
}

// sshOptions go before what the user's configuration says, of which ssh takes
// the first value. They restrict the process to its purpose: no user can answer a
// question, an unknown host is refused (as it has always been here), a host that
// is silent for 30 seconds is given up, nothing of the user's own forwards,
// commands or masters takes part, and no file of theirs is changed.
var sshOptions = [...]string{
	"BatchMode=yes", "StrictHostKeyChecking=yes", "UpdateHostKeys=no",
	"ConnectTimeout=20", "ServerAliveInterval=15", "ServerAliveCountMax=1",
	"ControlPersist=no", "ClearAllForwardings=yes", "ForwardAgent=no", "ForwardX11=no",
	"PermitLocalCommand=no", "RemoteCommand=none", "Tunnel=no",
	"StreamLocalBindMask=0177", "StreamLocalBindUnlink=yes", "LogLevel=INFO",
}

// sshArgs are the arguments that connect to the host of a target.
func sshArgs(t target, control string) []string {
	args := []string{"-M", "-N", "-T", "-S", escapePercent(control)}
	if own := os.Getenv("NIXVM_SSH_CONFIG"); own != "" {
		if _, err := os.Stat(own); errors.Is(err, os.ErrNotExist) {
			own = "none" // nixvm's line is not in it yet
		}
		args = append(args, "-F", own)
	}
	for _, o := range sshOptions {
		args = append(args, "-o", o)
	}
	q, to := t.Host.Query(), t.destination()
	if f := q.Get("keyfile"); f != "" {
		args = append(args, "-o", "IdentitiesOnly=yes", "-o", "IdentityFile="+quotePath(f))
	}
	if f := q.Get("known_hosts"); f != "" {
		args = append(args, "-o", "UserKnownHostsFile="+quotePath(f), "-o", "GlobalKnownHostsFile=/dev/null")
	}
	if to.user != "" {
		args = append(args, "-l", to.user)
	}
	if to.port != "" {
		args = append(args, "-p", to.port)
	}
	return append(args, "--", to.host)
}

// foreground keeps ssh from leaving us behind with a process that we could not end, as
// the user's configuration may ask. ssh knows the option since version 8.7, and
// refuses one that it does not know.
const foreground = "ForkAfterAuthentication=no"

// knowsForeground asks ssh. What it cannot say in time is no.
func knowsForeground(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, controlLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ssh", "-G", "-F", "none", "-o", foreground, "nixvm.invalid")
	cmd.WaitDelay = stopLimit
	return cmd.Run() == nil
}

// quotePath writes a path as one word of ssh_config(5). ssh expands ~/ in it.
func quotePath(path string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(escapePercent(path)) + `"`
}

func escapePercent(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// startMaster connects, and returns when ssh has logged in. The process ends
// with stop, with the connection, or with this process.
func startMaster(ctx context.Context, t target, dir string) (*master, error) {
	watch, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch for ssh's control socket: %w", err)
	}
	defer watch.Close()
	if err := watch.Add(dir); err != nil {
		return nil, fmt.Errorf("watch for ssh's control socket: %w", err)
	}
	run, stop := context.WithCancel(context.Background())
	m := &master{
		control: filepath.Join(dir, "ctl"), forwards: map[string]string{}, errors: &tail{changed: make(chan struct{})},
		stop: stop, stopped: run.Done(), ended: make(chan struct{}),
	}
	args := sshArgs(t, m.control)
	if knowsForeground(ctx) {
		args = append([]string{"-o", foreground}, args...)
	}
	cmd := exec.CommandContext(run, "ssh", args...)
	cmd.Stderr = m.errors
	cmd.Env = append(os.Environ(), "SSH_ASKPASS_REQUIRE=never")
	// No terminal on which it, or the ssh of a jump host, could ask.
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGTERM}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGTERM) }
	cmd.WaitDelay = stopLimit
	failed := make(chan error, 1)
	go func() {
		defer close(m.ended)
		defer stop()
		// The kernel sends Pdeathsig when the thread that started the process ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			failed <- err
			return
		}
		_ = cmd.Wait() // what it says is in m.errors
		failed <- nil
	}()
	for {
		select {
		case e := <-watch.Events:
			if e.Has(fsnotify.Create) && e.Name == m.control {
				return m, nil
			}
		case err = <-watch.Errors:
			stop()
			<-m.ended
			return nil, fmt.Errorf("watch for ssh's control socket: %w", err)
		case err := <-failed:
			<-m.ended
			return nil, explainSSH(t.destination(), m.errors.lines(), err)
		case <-ctx.Done():
			stop()
			<-m.ended
			if err := context.Cause(ctx); !errors.Is(err, context.DeadlineExceeded) {
				return nil, err
			}
			return nil, explainSSH(t.destination(), m.errors.lines(), errors.New("no connection in time"))
		}
	}
}

// alive reports whether the process runs, and has not been told to end.
func (m *master) alive() bool {
	select {
	case <-m.stopped:
		return false
	default:
		return true
	}
}

// forward returns the socket here that leads to an address there, and has ssh
// listen on it first if it does not.
func (m *master) forward(ctx context.Context, address string) (string, error) {
	if s := m.forwards[address]; s != "" {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(ctx, controlLimit)
	defer cancel()
	socket := filepath.Join(filepath.Dir(m.control), strconv.Itoa(len(m.forwards)+1))
	to := address
	if strings.HasPrefix(address, "/") {
		to = escapeForward(address)
	}
	// No configuration is read: it has had its say when the master was started.
	cmd := exec.CommandContext(ctx, "ssh", "-F", "none", "-S", escapePercent(m.control), "-O", "forward", "-L", escapeForward(socket)+":"+to, "nixvm")
	cmd.WaitDelay = stopLimit
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("ssh does not forward to %s: %w: %s", address, err, backends.OneLine(string(out)))
	}
	m.forwards[address] = socket
	return socket, nil
}

// escapeForward writes a path for the argument of ssh -L, where a colon
// separates fields and a percent sign begins a token.
func escapeForward(path string) string {
	return strings.NewReplacer(`\`, `\\`, ":", `\:`, "%", "%%").Replace(path)
}

// explainSSH says why there is no connection: err if ssh could not be run or was
// ended, and otherwise what ssh said last.
func explainSSH(to destination, said []string, err error) *problem.Error {
	if errors.Is(err, exec.ErrNotFound) {
		return problem.New(problem.BackendMissing, "ssh is not installed; it is needed to reach %s", to.host).
			WithHint("Debian, Ubuntu: sudo apt install openssh-client; Fedora: sudo dnf install openssh-clients")
	}
	if err != nil {
		said = append(said, err.Error())
	}
	text := strings.Join(said, "\n")
	last := backends.OneLine(strings.Join(said[max(0, len(said)-3):], "\n"))
	has := func(s string) bool { return strings.Contains(text, s) }
	switch {
	case has("HOST IDENTIFICATION HAS CHANGED") || has("REVOKED HOST KEY"):
		if i := slices.IndexFunc(said, func(l string) bool { return strings.HasPrefix(l, "Offending ") }); i >= 0 {
			last = backends.OneLine(said[i]) // names the file and the line
		}
		return problem.New(problem.SSHHostKey, "the SSH host key of %s has changed or is revoked; the connection may be intercepted: %s", to.host, last).
			WithHint("only if the host was reinstalled: remove that line of known_hosts, then: ssh %s true", to)
	case has("Host key verification failed") || has("you have requested strict checking"):
		return problem.New(problem.SSHHostKey, "the SSH host key of %s is not known: %s", to.host, last).
			WithHint("connect once by hand and compare the fingerprint with the host's own (there: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub): ssh %s true", to)
	case has("Permission denied"):
		return problem.New(problem.BackendUnreachable, "%s accepts none of your SSH keys: %s", to.host, last).
			WithHint("if your key has a passphrase: ssh-add; if %s does not have the key: ssh-copy-id %s; if you have none: ssh-keygen -t ed25519; check with: ssh -o BatchMode=yes %s true", to.host, to, to)
	case has("Bad configuration option") || has("bad configuration options"):
		return problem.New(problem.SSHConfigMalformed, "ssh does not accept its configuration: %s", last).WithHint("ssh -G %s", to)
	}
	return problem.New(problem.BackendUnreachable, "cannot reach %s over SSH: %s", to.host, last).Retry().WithHint("check with: ssh -o BatchMode=yes %s true", to)
}

// tail keeps the end of what a process prints.
type tail struct {
	mu      sync.Mutex
	text    string
	changed chan struct{} // closed, and made again, at every change
}

// tailLimit is how many bytes of it are kept.
const tailLimit = 4 << 10

// Write takes the next piece; it never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text += string(p)
	t.text = t.text[max(0, len(t.text)-tailLimit):]
	close(t.changed)
	t.changed = make(chan struct{})
	return len(p), nil
}

// lines returns what is not empty.
func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.FieldsFunc(t.text, func(r rune) bool { return r == '\n' || r == '\r' })
}

// await reports whether a text is there, or comes within a second: ssh writes it
// just before it ends a stream, but to another pipe.
func (t *tail) await(ctx context.Context, text string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for {
		t.mu.Lock()
		there, changed := strings.Contains(t.text, text), t.changed
		failed := strings.Contains(t.text, "open failed")
		t.mu.Unlock()
		if there || failed {
			return there
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
