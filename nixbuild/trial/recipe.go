package trial

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/flake"
)

// recipe holds the files that we add to the guest, beside the programs that it
// shares with NixOS images (package flake): overlay/common and the directories of
// the mode and the variant, and the initrd's programs.
//
//go:embed all:overlay all:initrd
var recipe embed.FS

// rootVersion is raised when code here changes what the root tree holds,
// diskVersion when it changes what the disk step makes of it. Packages, hooks and
// the files that we add count by themselves.
const (
	rootVersion = 1
	diskVersion = 1
)

// corePackages are in every trial image, with any profiles. The tools of
// dev and python are among them: one root tree then serves every combination of
// profiles, and a second combination costs seconds, not a minute.
var corePackages = []string{
	// boot, accounts, contract
	"systemd-sysv", "udev", "dbus", "libpam-systemd", "openssh-server", "openssh-sftp-server", "sudo",
	"qemu-guest-agent", "nftables", "fdisk", "e2fsprogs", "iproute2", "linux-image-cloud-amd64", "kmod",
	"netbase", "procps", "busybox-static", "systemd-boot-efi", "util-linux-extra", "iputils-ping", "systemd-timesyncd",
	// dev, python, and what agents and editors need to install themselves
	"ca-certificates", "curl", "git", "tmux", "less", "vim-tiny", "ripgrep", "rsync", "xz-utils", "unzip",
	"bash-completion", "patch", "python3", "python3-venv", "python3-pip",
}

// kinds of trial image.
const (
	kindTrial = "trial"
	kindTiny  = "tiny"
)

// plan is a checked request.
type plan struct {
	kind     string
	mode     string
	profiles []string
	suite    string
}

func newPlan(kind string, req nixbuild.Request, suite string) (plan, error) {
	p := plan{kind: kind, mode: req.Mode, suite: suite}
	if p.mode == "" {
		p.mode = nixbuild.Immutable
	}
	if err := nixbuild.CheckMode(p.mode); err != nil {
		return p, err
	}
	var err error
	if p.profiles, err = catalogue().Normalise(req.Profiles); err != nil {
		return p, problem.From(fmt.Errorf("the trial image: %w", err)).
			WithHint("it has %s; NixOS images have more: nixvmd profiles", strings.Join(catalogue().Names(), ", "))
	}
	return p, nil
}

// catalogue lists what a trial image can have.
func catalogue() nixbuild.Catalogue {
	images := []string{kindTrial}
	return nixbuild.Catalogue{
		{Name: nixbuild.Core, Description: "SSH, accounts, firewall (always included)", Images: images},
		{Name: "claude", Description: "the Claude Code agent; private networks are blocked", Agent: true, Images: images},
		{Name: "dev", Description: "development tools: git, tmux, an editor, ripgrep", Images: images},
		{Name: "open-code", Description: "the OpenCode agent; private networks are blocked", Agent: true, Images: images},
		{Name: "python", Description: "Python development", Images: images},
	}
}

// rootDigest names the root tree: what mmdebstrap makes.
func (p plan) rootDigest() string {
	return digest("root", rootVersion, p.suite, corePackages, rootHooks)
}

// id names the image.
func (p plan) id() (string, error) {
	files, err := recipeDigest()
	if err != nil {
		return "", err
	}
	// The version file holds the id itself: here it is empty.
	entries, err := p.overlayEntries("")
	if err != nil {
		return "", err
	}
	sum := digest(nixbuild.ContractVersion, diskVersion, p.rootDigest(), files, entries, tinyExcludes, drivers, p.kind, p.mode, p.profiles, p.cmdline())
	return fmt.Sprintf("%s-%s-%s", p.kind, p.mode, sum), nil
}

// places is where the guest keeps its identity, for flake.GuestPrograms.
func (p plan) places() string {
	if p.mode == nixbuild.Mutable {
		return flake.InEtc
	}
	return flake.OnState
}

// layers are the overlay directories that make up the guest, later ones over
// earlier ones.
func (p plan) layers() []string {
	out := []string{"common"}
	if p.mode == nixbuild.Mutable {
		out = append(out, "mutable")
	} else {
		out = append(out, "state")
	}
	if p.kind == kindTiny {
		out = append(out, "tiny")
	} else {
		out = append(out, "systemd")
	}
	for _, name := range p.profiles {
		if _, err := fs.Stat(recipe, "overlay/profile-"+name); err == nil {
			out = append(out, "profile-"+name)
		}
	}
	return out
}

// cmdline is the kernel command line, the same for direct boot and UEFI. The
// check of the timer is for broken hardware; on a host too busy to deliver its
// ticks in time it fails, and the kernel tries its way around for minutes.
// Freezing a file system waits for three grace periods of RCU with its writers
// held up (freeze_super), some 17 ms each; expedited they take next to nothing,
// and the guest has no battery to spare by waiting. A unit has ten minutes to
// start: on a busy host it may need more than systemd's 90 seconds.
func (p plan) cmdline() string {
	return "ro console=ttyS0 quiet loglevel=4 systemd.show_status=0 panic=10 systemd.default_timeout_start_sec=600 no_timer_check rcupdate.rcu_expedited=1"
}

func recipeDigest() (string, error) {
	h := sha256.New()
	err := fs.WalkDir(recipe, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := recipe.ReadFile(name)
		fmt.Fprintf(h, "%q %d\n", name, len(data))
		h.Write(data)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

func digest(parts ...any) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%q\n", fmt.Sprint(p))
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
