package isofs_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/machine/internal/isofs"
)

func contents(files []isofs.File) map[string]string {
	all := map[string]string{}
	for _, f := range files {
		all[f.Name] = string(f.Data)
	}
	return all
}

func TestReadGivesWhatBuildTook(t *testing.T) {
	many := sample()
	for i := range 60 { // more than one sector of records
		many = append(many, isofs.File{Name: fmt.Sprintf("file-%d", i), Data: []byte{byte(i)}})
	}
	for _, files := range [][]isofs.File{nil, sample(), many} {
		got, err := isofs.Read(build(t, files...))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(contents(files), contents(got)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestReadRefusesDamagedVolumes(t *testing.T) {
	whole := build(t, sample()...)
	for name, image := range map[string][]byte{
		"empty": {}, "zeros": make([]byte, len(whole)), "cut off": whole[:len(whole)/2], "in its last file": whole[:len(whole)-2048],
	} {
		if files, err := isofs.Read(image); err == nil {
			t.Errorf("%s: %d files", name, len(files))
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(build(f, sample()...))
	f.Fuzz(func(t *testing.T, image []byte) {
		files, err := isofs.Read(image)
		if err != nil {
			return
		}
		for _, file := range files {
			if len(file.Data) > len(image) {
				t.Errorf("%s has %d bytes", file.Name, len(file.Data))
			}
		}
	})
}
