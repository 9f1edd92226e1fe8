package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/nixvm/nixvm/machine"
)

// resourceFlags are the resources of a machine, as typed.
type resourceFlags struct {
	memory, vcpus, disk string
}

func (f *resourceFlags) add(flags *pflag.FlagSet, disk string) {
	flags.StringVar(&f.memory, "memory", "", "memory in `MiB`, or with a unit: 8G")
	flags.StringVar(&f.vcpus, "vcpus", "", "`N` virtual CPUs")
	flags.StringVar(&f.disk, "disk", "", disk)
}

// parse returns nil for a flag that is absent.
func (f resourceFlags) parse() (memoryMiB, vcpus *int, diskBytes *int64, err error) {
	if memoryMiB, err = optional(f.memory, machine.ParseMemory); err != nil {
		return nil, nil, nil, fmt.Errorf("--memory: %w", err)
	}
	if vcpus, err = optional(f.vcpus, machine.ParseVCPUs); err != nil {
		return nil, nil, nil, fmt.Errorf("--vcpus: %w", err)
	}
	if diskBytes, err = optional(f.disk, machine.ParseSize); err != nil {
		return nil, nil, nil, fmt.Errorf("--disk: %w", err)
	}
	return memoryMiB, vcpus, diskBytes, nil
}

// optional parses a flag that may be absent.
func optional[T any](s string, parse func(string) (T, error)) (*T, error) {
	if s == "" {
		return nil, nil //nolint:nilnil // absent is an answer here
	}
	v, err := parse(s)
	if err != nil {
		return nil, err
	}
	return &v, nil
}
