package nixbuild

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
)

// PackagesFile is the list of the packages in an image, beside its disk: on each line a
// name, a space and a version. A name may have several versions. Images of earlier
// versions of nixvm, and imported ones, have no such file.
const PackagesFile = "packages"

// maxPackages bounds the list that is read, in bytes: a NixOS image has some 100 KiB.
const maxPackages = 4 << 20

// Packages are the versions of the packages in an image, by name, each list sorted.
type Packages map[string][]string

// Packages reads the list of an image from a store. An image without one is
// fs.ErrNotExist, a damaged list image.corrupt.
func (img Image) Packages() (Packages, error) {
	f, err := os.Open(img.path(PackagesFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPackages+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	p, err := parsePackages(data)
	if err != nil {
		return nil, problem.New(problem.ImageCorrupt, "%s: %w", f.Name(), err)
	}
	return p, nil
}

func parsePackages(data []byte) (Packages, error) {
	if len(data) > maxPackages {
		return nil, fmt.Errorf("it is larger than %d bytes", maxPackages)
	}
	p := Packages{}
	number := 0
	for line := range bytes.Lines(data) {
		number++
		text := strings.TrimSuffix(string(line), "\n")
		name, version, ok := strings.Cut(text, " ")
		if !ok || name == "" || version == "" || strings.ContainsRune(version, ' ') || !oneLine(text, 300) {
			return nil, fmt.Errorf("line %d is not a name and a version", number)
		}
		p.add(name, version)
	}
	return p, nil
}

func (p Packages) add(name, version string) {
	if i, found := slices.BinarySearch(p[name], version); !found {
		p[name] = slices.Insert(p[name], i, version)
	}
}

// write puts the list beside the files of an image.
func (p Packages) write(dir string) error {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(p)) {
		for _, version := range p[name] {
			fmt.Fprintf(&b, "%s %s\n", name, version)
		}
	}
	return os.WriteFile(filepath.Join(dir, PackagesFile), b.Bytes(), 0o644)
}

// WriteDebianPackages writes the list of what a status file of dpkg(1) says is
// installed into the directory of an image. Without that file, there is no list.
func WriteDebianPackages(dir, status string) error {
	data, err := os.ReadFile(status)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	p := Packages{}
	for paragraph := range strings.SplitSeq(string(data), "\n\n") {
		field := map[string]string{}
		for line := range strings.Lines(paragraph) {
			if name, value, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, " ") {
				field[name] = strings.TrimSpace(value)
			}
		}
		if strings.HasSuffix(field["Status"], " installed") && field["Package"] != "" && field["Version"] != "" {
			p.add(field["Package"], field["Version"])
		}
	}
	return p.write(dir)
}

// PackageChange is a package of which one image has other versions than another one.
type PackageChange struct {
	Name          string
	Before, After []string // sorted; empty: it is new, or gone
}

// Compare lists what changes from one image to the next, by name.
func (p Packages) Compare(next Packages) []PackageChange {
	var list []PackageChange
	for name, before := range p {
		if after := next[name]; !slices.Equal(before, after) {
			list = append(list, PackageChange{name, before, after})
		}
	}
	for name, after := range next {
		if p[name] == nil {
			list = append(list, PackageChange{Name: name, After: after})
		}
	}
	slices.SortFunc(list, func(a, b PackageChange) int { return cmp.Compare(a.Name, b.Name) })
	return list
}
