// Package host determines the capabilities of the daemon's host for VMs: the id of its
// current boot, and whether KVM really runs guests.
package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
)

// Accelerators, as the command line and Status name them.
const (
	Auto = "auto"
	KVM  = "kvm"
	TCG  = "tcg"
)

const (
	kvmDevice = "/dev/kvm"
	// probeLimit is what a guest gets to reach user space under KVM. It takes
	// about one second; a host that pretends never gets there.
	probeLimit = 20 * time.Second
	// refusalAge is how long a "no" counts. It may have been a busy host.
	refusalAge = 12 * time.Hour
)

// verdictFile, in the state root, keeps the result of the KVM probe.
const verdictFile = "qemu-accel.json"

// Accelerator decides between KVM and emulation for the guests of this host.
type Accelerator struct {
	program func(context.Context) (string, error) // finds QEMU
	file    string
	log     *slog.Logger
	forced  string // "" = find out
	device  string // that KVM is reached by

	mu     sync.Mutex // held while probing: one probe serves all who wait
	probed verdict    // by this process, in case that the file cannot be written; guarded by mu
}

// NewAccelerator takes what is wanted: NIXVM_ACCEL in the environment before
// configured, each "auto", "kvm", "tcg" or empty. program finds the QEMU to
// probe with; the verdict is kept in the directory state.
func NewAccelerator(configured string, program func(context.Context) (string, error), state string, log *slog.Logger) (*Accelerator, error) {
	a := &Accelerator{program: program, file: filepath.Join(state, verdictFile), device: kvmDevice, log: log}
	wanted := os.Getenv("NIXVM_ACCEL")
	if wanted == "" {
		wanted = configured
	}
	switch wanted {
	case "", Auto:
	case KVM, TCG:
		a.forced = wanted
	default:
		return a, problem.New(problem.ConfigInvalid, "%q is not an accelerator", wanted).
			WithHint("use auto, kvm or tcg (NIXVM_ACCEL, or accel in the configuration)")
	}
	return a, nil
}

// CheckAccel refuses what is none of the accelerators that can be configured.
func CheckAccel(word string) error {
	switch word {
	case "", Auto, KVM, TCG:
		return nil
	}
	return fmt.Errorf("accel %q is not one of %s, %s, %s", word, Auto, KVM, TCG)
}

// Forced is "kvm" or "tcg" when the choice is forced, else "".
func (a *Accelerator) Forced() string { return a.forced }

// verdict is qemu-accel.json: whether a guest ran under KVM.
type verdict struct {
	Host  string    `json:"host"` // boot id and QEMU binary: another one asks again
	Works bool      `json:"works"`
	Tried time.Time `json:"tried"`
}

func (v verdict) valid(host string) bool {
	return v.Host == host && (v.Works || time.Since(v.Tried) < refusalAge)
}

// Choose returns the accelerator for a guest of this image. An existing and
// accessible /dev/kvm proves nothing (there are hosts where the firmware starts
// and no kernel gets up), so the first time after a boot of the host a guest is
// executed until its user space answers.
func (a *Accelerator) Choose(ctx context.Context, image backends.Image) (string, error) {
	if a.forced != "" {
		return a.forced, nil
	}
	if unix.Access(a.device, unix.R_OK|unix.W_OK) != nil {
		return TCG, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	host := a.host(ctx)
	if v, err := a.read(); err == nil && v.valid(host) {
		return v.accel(), nil
	}
	if a.probed.valid(host) {
		return a.probed.accel(), nil
	}
	v := verdict{Host: host, Tried: time.Now().UTC()}
	kernel := probeKernel(image)
	if kernel == "" {
		// Nothing to execute. The processor's own word is the best there is.
		v.Works = hasVirtualisation()
		return v.accel(), nil
	}
	var err error
	if v.Works, err = a.probe(ctx, KVM, kernel, probeLimit); err != nil {
		return "", err
	}
	a.log.Info("probed KVM", "works", v.Works, "kernel", kernel, "took", time.Since(v.Tried).Round(time.Millisecond))
	a.probed = v
	if err := a.write(v); err != nil {
		a.log.Warn("the next daemon has to check again whether KVM works", "error", err)
	}
	return v.accel(), nil
}

func (v verdict) accel() string {
	if v.Works {
		return KVM
	}
	return TCG
}

// host names what a verdict is about.
func (a *Accelerator) host(ctx context.Context) string {
	program, err := a.program(ctx)
	if err != nil {
		return ""
	}
	st, err := os.Stat(program)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s %s %d %d", BootID(), program, st.Size(), st.ModTime().Unix())
}

func (a *Accelerator) read() (verdict, error) {
	var v verdict
	b, err := os.ReadFile(a.file)
	if err != nil {
		return v, err
	}
	return v, json.Unmarshal(b, &v)
}

func (a *Accelerator) write(v verdict) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(a.file, append(b, '\n'), 0o600)
}

// probeKernel is a Linux kernel to execute: the image's, else the host's own.
func probeKernel(image backends.Image) string {
	if image.Kernel != "" {
		return image.Kernel
	}
	var u unix.Utsname
	release := ""
	if unix.Uname(&u) == nil {
		release = unix.ByteSliceToString(u.Release[:])
	}
	for _, k := range []string{"/run/booted-system/kernel", "/boot/vmlinuz-" + release, "/lib/modules/" + release + "/vmlinuz"} {
		if Readable(k) {
			return k
		}
	}
	return ""
}

// hasVirtualisation reports the flag of Intel (vmx) or AMD (svm).
func hasVirtualisation() bool {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return false
	}
	for line := range bytes.Lines(b) {
		if name, flags, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(name) == "flags" {
			for _, f := range strings.Fields(flags) {
				if f == "vmx" || f == "svm" {
					return true
				}
			}
			return false
		}
	}
	return false
}

// Slow says why VMs are slow here, if they are. The codes of its findings begin
// with the type of the backend.
func (a *Accelerator) Slow(ctx context.Context, kind string) (backends.Finding, bool) {
	slow := backends.Finding{Code: kind + ".kvm_unusable", Severity: backends.Warning}
	const effect = ": VMs are emulated and run about ten times slower"
	err := unix.Access(a.device, unix.R_OK|unix.W_OK)
	switch {
	case a.forced == TCG:
		slow.Code, slow.Severity = kind+".kvm_off", backends.Info
		slow.Message = "KVM is disabled by NIXVM_ACCEL or the configuration" + effect
	case errors.Is(err, unix.ENOENT):
		slow.Message = kvmDevice + " does not exist" + effect
		slow.Fix = "enable virtualisation in the firmware, then: sudo modprobe kvm_intel (or kvm_amd)"
	case err != nil:
		slow.Message = kvmDevice + " is not open to this user" + effect
		slow.Fix = "sudo usermod -aG kvm $USER, then log in again"
	default:
		v, err := a.read()
		if err != nil || !v.valid(a.host(ctx)) || v.Works {
			return backends.Finding{}, false
		}
		slow.Message = kvmDevice + " exists, but no guest boots with it" + effect
		slow.Fix = "nested virtualisation may be off on the outer host; NIXVM_ACCEL=kvm forces its use"
	}
	return slow, true
}

// Readable reports whether this user can open a file.
func Readable(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// BootID names this boot of the host.
func BootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
