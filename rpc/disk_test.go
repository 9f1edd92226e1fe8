package rpc_test

import (
	"context"

	"github.com/nixvm/nixvm/api"
)

func (c *core) DiskUsage(context.Context, string) (api.DiskResult, error) {
	share := int64(1 << 30)
	return api.DiskResult{
		Disk:    api.DiskUsage{VirtualBytes: 30 << 30, UsedBytes: 5 << 30, SnapshotBytes: &share},
		Storage: "/disks\x1b[31m", FreeBytes: 1 << 30, Warning: "nearly\nfull",
	}, nil
}
