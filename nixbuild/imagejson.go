package nixbuild

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// ImageFile is the name of the description in an image's directory.
const ImageFile = "image.json"

// maxImageJSON bounds what is read: the file may come from anywhere.
const maxImageJSON = 64 << 10

var (
	imageID  = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{5,99}$`)
	fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
	word     = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)
	sha256re = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// ReadImage reads and validates dir/image.json. A missing one is
// image.not_found, a bad one image.corrupt. The files that it names are not
// looked at: see Store.Verify.
func ReadImage(dir string) (Image, error) {
	f, err := os.Open(filepath.Join(dir, ImageFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Image{}, problem.New(problem.ImageNotFound, "no image in %s: %w", dir, err)
	}
	if err != nil {
		return Image{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxImageJSON+1))
	if err != nil {
		return Image{}, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	img, err := ParseImage(data)
	if err != nil {
		return Image{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	img.Dir = dir
	return img, nil
}

// ParseImage decodes and validates the text of an image.json. Fields that it
// does not know are ignored: a newer nixvm may have written them.
func ParseImage(data []byte) (Image, error) {
	var img Image
	if len(data) > maxImageJSON {
		return img, problem.New(problem.ImageCorrupt, "image.json is larger than %d bytes", maxImageJSON)
	}
	if err := json.Unmarshal(data, &img); err != nil {
		return Image{}, problem.New(problem.ImageCorrupt, "image.json: %w", err)
	}
	if err := img.Validate(); err != nil {
		return Image{}, err
	}
	return img, nil
}

// WriteImage validates the description and writes it to dir, durably.
func WriteImage(dir string, img Image) error {
	if err := img.Validate(); err != nil {
		return err
	}
	data, err := json.MarshalIndent(img, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, ImageFile), append(data, '\n'), 0o644)
}

// Validate refuses, with image.corrupt, a description that could not be used
// safely: file names that leave the directory, a command line with control
// characters, an unknown mode or format, a newer contract.
func (img Image) Validate() error {
	checks := []struct {
		ok   bool
		what string
	}{
		{img.Contract >= OldestContract && img.Contract <= ContractVersion, fmt.Sprintf("guest contract %d; this version of nixvm supports %d to %d", img.Contract, OldestContract, ContractVersion)},
		{imageID.MatchString(img.ID) && !strings.Contains(img.ID, ".."), "id"},
		{word.MatchString(img.Distro), "distro"},
		{CheckMode(img.Mode) == nil, "mode"},
		{validProfiles(img.Profiles), "profiles"},
		{word.MatchString(img.System), "system"},
		{validFile(img.Disk.File), "disk.file"},
		{img.Disk.Format == "qcow2" || img.Disk.Format == "raw", "disk.format"},
		{img.Disk.VirtualSize > 0 && img.Disk.VirtualSize%512 == 0, "disk.virtualSize"},
		{sha256re.MatchString(img.Disk.SHA256), "disk.sha256"},
		{img.Kernel == "" || validFile(img.Kernel), "kernel"},
		{img.Initrd == "" || validFile(img.Initrd) && img.Kernel != "", "initrd"},
		{!img.NoBootLoader || img.Kernel != "", "noBootLoader, without a kernel"},
		{img.Cmdline == "" || img.Kernel != "" && oneLine(img.Cmdline, 2000), "cmdline"},
		{oneLine(img.Version, 200), "version"},
		{oneLine(img.Source, 500), "source"},
		{img.StorePath == "" || filepath.IsAbs(img.StorePath) && oneLine(img.StorePath, 500), "storePath"},
	}
	for _, c := range checks {
		if !c.ok {
			return problem.New(problem.ImageCorrupt, "image.json: bad value: %s", c.what)
		}
	}
	return nil
}

func validFile(name string) bool { return fileName.MatchString(name) && name != ImageFile }

func validProfiles(list []string) bool {
	return len(list) <= 64 && !slices.ContainsFunc(list, func(name string) bool { return !names.IsProfile(name) })
}

func oneLine(s string, limit int) bool {
	return len(s) <= limit && !strings.ContainsFunc(s, unicode.IsControl)
}

// DiskPath is the absolute path of the disk of an image that was read from a
// directory; it lies there or in the Nix store. It and the two below are empty where the image has no such file.
func (img Image) DiskPath() string { return img.path(img.Disk.File) }

// KernelPath is the kernel for direct boot.
func (img Image) KernelPath() string { return img.path(img.Kernel) }

// InitrdPath is the initrd for direct boot.
func (img Image) InitrdPath() string { return img.path(img.Initrd) }

func (img Image) path(name string) string {
	dir := img.Dir
	if img.StorePath != "" {
		dir = img.StorePath
	}
	if name == "" || dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}
