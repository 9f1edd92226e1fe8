package qemu

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
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
	accelAuto = "auto"
	accelKVM  = "kvm"
	accelTCG  = "tcg"
)

const (
	kvmDevice = "/dev/kvm"
	// probeLimit is what a guest gets to reach user space under KVM. It takes
	// about one second; a host that pretends never gets there.
	probeLimit = 20 * time.Second
	// refusalAge is how long a "no" counts. It may have been a busy host.
	refusalAge = 12 * time.Hour
)

// accelerator decides between KVM and emulation.
type accelerator struct {
	b      *Backend
	forced string // "" = find out

	mu *sync.Mutex // held while probing: one probe serves all who wait
}

func newAccelerator(b *Backend, wanted string) (accelerator, error) {
	a := accelerator{b: b, mu: &sync.Mutex{}}
	switch wanted {
	case "", accelAuto:
	case accelKVM, accelTCG:
		a.forced = wanted
	default:
		return a, problem.New(problem.ConfigInvalid, "%q is not an accelerator", wanted).
			WithHint("use auto, kvm or tcg (NIXVM_ACCEL, or accel in the configuration)")
	}
	return a, nil
}

// verdict is qemu-accel.json: whether a guest ran under KVM.
type verdict struct {
	Host  string    `json:"host"` // boot id and QEMU binary: another one asks again
	Works bool      `json:"works"`
	Tried time.Time `json:"tried"`
}

func (v verdict) valid(host string) bool {
	return v.Host == host && (v.Works || time.Since(v.Tried) < refusalAge)
}

// choose returns the accelerator for a guest of this image. An existing and
// accessible /dev/kvm proves nothing (there are hosts where the firmware starts
// and no kernel gets up), so the first time after a boot of the host a guest is
// executed until its user space answers.
func (a accelerator) choose(ctx context.Context, image backends.Image) (string, error) {
	if a.forced != "" {
		return a.forced, nil
	}
	if unix.Access(kvmDevice, unix.R_OK|unix.W_OK) != nil {
		return accelTCG, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	host := a.host()
	if v, err := a.read(); err == nil && v.valid(host) {
		return v.accel(), nil
	}
	v := verdict{Host: host, Tried: time.Now().UTC()}
	kernel := probeKernel(image)
	if kernel == "" {
		// Nothing to execute. The processor's own word is the best there is.
		v.Works = hasVirtualisation()
		return v.accel(), nil
	}
	var err error
	if v.Works, err = a.b.probe(ctx, accelKVM, kernel, probeLimit); err != nil {
		return "", err
	}
	a.b.log.Info("probed KVM", "works", v.Works, "kernel", kernel, "took", time.Since(v.Tried).Round(time.Millisecond))
	return v.accel(), a.write(v)
}

func (v verdict) accel() string {
	if v.Works {
		return accelKVM
	}
	return accelTCG
}

// host names what a verdict is about.
func (a accelerator) host() string {
	program, err := a.b.program(a.b.programs.qemu)
	if err != nil {
		return ""
	}
	st, err := os.Stat(program)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s %s %d %d", bootID(), program, st.Size(), st.ModTime().Unix())
}

func (a accelerator) file() string { return filepath.Join(a.b.layout.State, verdictFile) }

func (a accelerator) read() (verdict, error) {
	var v verdict
	b, err := os.ReadFile(a.file())
	if err != nil {
		return v, err
	}
	return v, json.Unmarshal(b, &v)
}

func (a accelerator) write(v verdict) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(a.file(), append(b, '\n'), 0o600)
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
		if readable(k) {
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
