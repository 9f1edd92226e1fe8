package trial

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
	"github.com/nixvm/nixvm/nixbuild"
)

// suites are the Debian releases that the recipe is written for, best first.
var suites = []string{"bookworm"}

// rootHooks run inside the new root after the packages are there. They are
// constants: mmdebstrap hands them to a shell.
var rootHooks = []string{
	`chroot "$1" useradd -u 1000 -U -s /bin/bash -M -d /home/admin admin`,
	`chroot "$1" useradd -u 1001 -U -s /bin/bash -M -d /home/user user`,
	// The kernel lies on the ESP, which apt does not know: it must not change
	// without it.
	`chroot "$1" dpkg-query -W -f '${Package}\n' 'linux-image-*' | chroot "$1" xargs apt-mark hold`,
	`rm -rf "$1"/etc/ssh/ssh_host_* "$1"/etc/machine-id "$1"/var/lib/dbus/machine-id "$1"/etc/hostname "$1"/etc/resolv.conf`,
	`rm -rf "$1"/var/cache/apt/*.bin "$1"/var/lib/apt/lists/* "$1"/var/log/* "$1"/usr/share/info`,
}

// rootTar returns the tar of the guest's root tree, from the cache or made by
// mmdebstrap, and how many steps of progress that was. The cache lies beside the
// images: .cache/trial-root-<digest>.tar.
func (b *Builder) rootTar(ctx context.Context, p plan, report progress.Reporter) (string, int64, error) {
	if err := os.MkdirAll(b.cache, 0o700); err != nil {
		return "", 0, err
	}
	tarball := filepath.Join(b.cache, "trial-root-"+p.rootDigest()+".tar")
	unlock, err := nixbuild.Lock(ctx, tarball+".lock")
	if err != nil {
		return "", 0, err
	}
	defer unlock()
	if _, err := os.Stat(tarball); err == nil {
		return tarball, 0, nil
	}
	part := tarball + ".part"
	defer os.Remove(part)
	steps, err := debootstrap(ctx, p, part, report)
	if err != nil {
		return "", 0, err
	}
	if err := syncFile(part); err != nil {
		return "", 0, err
	}
	return tarball, steps, os.Rename(part, tarball)
}

// debootstrap returns how many steps of progress it has made.
func debootstrap(ctx context.Context, p plan, tarball string, report progress.Reporter) (int64, error) {
	sources, err := aptSources(ctx, p.suite)
	if err != nil {
		return 0, err
	}
	args := []string{"--verbose", "--mode=" + debMode(), "--variant=minbase", "--format=tar", "--include=" + strings.Join(corePackages, ",")}
	for _, dir := range []string{"man", "doc", "locale", "info", "lintian"} {
		args = append(args, "--dpkgopt=path-exclude=/usr/share/"+dir+"/*")
	}
	for _, h := range rootHooks {
		args = append(args, "--customize-hook="+h)
	}
	args = append(append(args, p.suite, tarball), sources...)
	count := &packageCounter{report: report}
	report.Report(progress.Update{Vertex: vertex, Total: count.total() + diskShare(count.total()), Unit: "steps", Message: "resolving Debian packages"})
	err = tool{report: count.update}.run(ctx, "", "mmdebstrap", args...)
	return count.total(), err
}

// debMode: mmdebstrap picks the way of a plain user itself; root needs none.
func debMode() string {
	if os.Getuid() == 0 {
		return "root"
	}
	return "auto"
}

// aptSources returns the archives of the suite that this machine's apt is set
// up for, as lines of a sources.list.
func aptSources(ctx context.Context, suite string) ([]string, error) {
	cmd := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
	out, err := cmd.Output()
	if err != nil {
		return nil, problem.New(problem.ImageBuildFailed, "cannot get the package archives from apt: %w", err).
			WithHint("the trial image is built from Debian packages and needs apt")
	}
	var lines []string
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) != 3 || f[2] != "main" || f[1] != suite && !strings.HasPrefix(f[1], suite+"-") {
			continue
		}
		if line := fmt.Sprintf("deb %s %s main", f[0], f[1]); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return nil, problem.New(problem.ImageBuildFailed, "apt on this host has no archive for Debian %s", suite).
			WithHint("run apt-get update, or add one (main) to the sources of apt")
	}
	return lines, nil
}

// expectedPackages is how many packages the root tree has, about: the number by
// which progress is measured until apt has said the right one.
const expectedPackages = 220

// packageCounter turns the output of apt and dpkg into counts. Every package
// counts twice, once downloaded ("Get:3 ...") and once installed ("Setting up
// ..."); mmdebstrap runs apt once for the essential ones and once for the rest.
type packageCounter struct {
	report progress.Reporter
	known  int64 // packages that apt has announced so far
	done   int64
}

var newlyInstalled = regexp.MustCompile(`^[0-9]+ upgraded, ([0-9]+) newly installed`)

func (c *packageCounter) total() int64 { return 2 * max(c.known, expectedPackages) }

func (c *packageCounter) update(u progress.Update) {
	c.report.Report(u)
	var message string
	switch {
	case strings.HasPrefix(u.Log, "Get:") && c.known > 0: // before: the indexes of the archives
		message = "downloading Debian packages"
	case strings.HasPrefix(u.Log, "Setting up "):
		message = "installing Debian packages"
	default:
		if m := newlyInstalled.FindStringSubmatch(u.Log); m != nil {
			n, _ := strconv.ParseInt(m[1], 10, 32)
			c.known += n
		}
		return
	}
	c.done = min(c.done+1, c.total())
	c.report.Report(progress.Update{Vertex: vertex, Current: c.done, Total: c.total() + diskShare(c.total()), Unit: "steps", Message: message})
}

// diskShare is what the disk step counts in a build that also made the root
// tree: about a twentieth for each of its parts, as it takes in time.
func diskShare(packages int64) int64 { return packages / 20 * diskParts }

// dirSize is the sum of what the tree's files take, in whole blocks, and the
// number of entries, for the size of the file system.
func dirSize(root string) (bytes, entries int64, err error) {
	err = filepath.WalkDir(root, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		entries++
		bytes += (fi.Size() + 4095) &^ 4095
		return nil
	})
	return bytes, entries, err
}

func syncFile(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
