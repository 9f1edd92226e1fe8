package nixbuild

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// sumKey stands in the fragment of an image's URL: #sha256=<64 hex digits>.
const sumKey = "sha256="

// IsURL reports whether an image is named by an URL and not by a path.
func IsURL(image string) bool {
	return strings.HasPrefix(image, "https://") || strings.HasPrefix(image, "http://") || strings.HasPrefix(image, "file://")
}

// CheckSource refuses, without looking at any content, what Import could not
// take: a file that is not there, an URL without a checksum, an image of another
// mode.
func CheckSource(image, mode string) error {
	_, err := findSource(image, mode)
	return err
}

// source is what is to be imported.
type source struct {
	img   Image  // its description; of a plain disk, what we say about it
	name  string // of the original, for people
	disk  string // the file; "" = it is downloaded
	url   *url.URL
	sum   string // what the disk must have; "" = any
	plain bool   // a disk without a description
}

func findSource(image, mode string) (source, error) {
	if mode != "" {
		if err := CheckMode(mode); err != nil {
			return source{}, err
		}
	}
	if IsURL(image) {
		return urlSource(image, mode)
	}
	path, err := filepath.Abs(image)
	if err != nil {
		return source{}, err
	}
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return source{}, problem.New(problem.ImageNotFound, "there is no image file %s", path).
			WithHint("use a qcow2 or raw disk, the directory of an image, a URL, or --image trial")
	case err != nil:
		return source{}, fmt.Errorf("image file: %w", err)
	case fi.IsDir():
		return describedSource(path, mode)
	case filepath.Base(path) == ImageFile:
		return describedSource(filepath.Dir(path), mode)
	case !fi.Mode().IsRegular():
		return source{}, problem.New(problem.ImageCorrupt, "%s is not a file", path)
	}
	return plainDisk(path, path, mode), nil
}

// plainDisk is a disk that says nothing of itself.
func plainDisk(disk, name, mode string) source {
	if mode == "" {
		mode = Immutable
	}
	return source{plain: true, disk: disk, name: name, img: Image{
		Contract: OldestContract, Distro: "unknown", Mode: mode, Profiles: []string{}, System: "x86_64-linux",
		Version: fmt.Sprintf("%.100q", filepath.Base(name)), Source: fmt.Sprintf("imported from %.200q", name),
	}}
}

// urlSource reads an URL. What comes over a network has to have a checksum: the
// image is what boots, and everything in it runs.
func urlSource(image, mode string) (source, error) {
	u, err := url.Parse(image)
	if err != nil {
		return source{}, problem.New(problem.BadParams, "not a URL: %w", reason(err))
	}
	sum, hasSum := strings.CutPrefix(strings.ToLower(u.Fragment), sumKey)
	switch {
	case u.Fragment != "" && (!hasSum || !sha256re.MatchString(sum)), !hasSum && u.Scheme != "file":
		return source{}, problem.New(problem.BadParams, "the image %s needs its checksum", shown(u)).
			WithHint("append #%s<64 hex digits> to the URL, or use --image-sha256", sumKey)
	case u.Scheme == "file" && (u.Host != "" && u.Host != "localhost" || !filepath.IsAbs(u.Path)):
		return source{}, problem.New(problem.BadParams, "%s does not name a file on this host", shown(u)).WithHint("write file:///PATH")
	case u.Scheme != "file" && u.Host == "":
		return source{}, problem.New(problem.BadParams, "%s does not name a server", shown(u))
	case u.Scheme == "file":
		src, err := findSource(u.Path, mode)
		if err != nil || sum == "" {
			return src, err
		}
		if src.sum != "" && src.sum != sum {
			return source{}, problem.New(problem.ImageCorrupt, "image.json in %s describes a disk with the SHA-256 %s instead of %s", src.name, src.sum, sum).
				WithHint("download it again, or get the right checksum from the source of the image")
		}
		src.sum = sum
		return src, nil
	}
	src := plainDisk("", shown(u), mode)
	src.url, src.sum = u, sum
	return src, nil
}

// reason is an error of net/url or net/http without the address, which they repeat.
func reason(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// shown is the URL for people and for image.json: without its password, without
// its query, which signs it on many servers, and without the checksum.
func shown(u *url.URL) string {
	plain := *u
	plain.Fragment, plain.RawFragment, plain.RawQuery, plain.ForceQuery = "", "", "", false
	return plain.Redacted()
}

func describedSource(dir, mode string) (source, error) {
	img, err := ReadImage(dir)
	if err != nil {
		return source{}, err
	}
	img.StorePath = "" // only our own images may name files elsewhere
	if err := checkFiles(img); err != nil {
		return source{}, err
	}
	if mode != "" && mode != img.Mode {
		return source{}, problem.New(problem.ModeUnsupported, "the image in %s is %s, not %s", dir, img.Mode, mode).
			WithHint("use --mode %s, or another image", img.Mode)
	}
	return source{img: img, name: dir, disk: img.DiskPath(), sum: img.Disk.SHA256}, nil
}

// fetch puts the disk at target and returns its digest.
func (src source) fetch(ctx context.Context, target string, report progress.Reporter) (string, error) {
	if src.url != nil {
		return download(ctx, src.url, target, report)
	}
	if err := checkDisk(ctx, src.disk, &Disk{}); err != nil {
		return "", err // before anything large is read
	}
	return copySparse(ctx, target, src.disk, report)
}

// judge compares the digest of what was fetched.
func (src source) judge(sum string) error {
	switch {
	case src.sum == "" || sum == src.sum:
		return nil
	case src.plain:
		return problem.New(problem.ImageCorrupt, "the image has the SHA-256 %s instead of %s", sum, src.sum).
			WithHint("download it again, or get the right checksum from the source of the image")
	}
	return corrupt(src.img, "the disk does not match image.json")
}
