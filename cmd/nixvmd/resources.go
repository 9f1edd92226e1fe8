package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/nixvm/nixvm/internal/problem"
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
	if memoryMiB, err = optional(f.memory, parseMemory); err != nil {
		return nil, nil, nil, fmt.Errorf("--memory: %w", err)
	}
	if vcpus, err = optional(f.vcpus, parseCount); err != nil {
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

// parseMemory reads MiB, or a size with a unit.
func parseMemory(s string) (int, error) {
	bad := problem.New(problem.SizeInvalid, "%q is not an amount of memory", s).WithHint("write MiB, or a size with a unit: 8192 or 8G")
	if n, err := strconv.Atoi(s); err == nil {
		if n <= 0 || n > 1<<30 {
			return 0, bad
		}
		return n, nil
	}
	n, err := machine.ParseSize(s)
	if err != nil || n < 1<<20 || n > 1<<50 {
		return 0, bad
	}
	return int(n >> 20), nil
}

func parseCount(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, problem.New(problem.BadParams, "%q is not a number of CPUs", s).WithHint("write a whole number from 1")
	}
	return n, nil
}
