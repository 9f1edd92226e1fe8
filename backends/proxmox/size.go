package proxmox

import (
	"strconv"
	"strings"
)

// gib is a size of a new disk, which Proxmox VE takes in GiB with decimals.
func gib(bytes int64) string {
	return strconv.FormatFloat(float64(bytes)/(1<<30), 'f', -1, 64)
}

// kib is a size for a resize. A part of a KiB counts as a whole one.
func kib(bytes int64) string { return strconv.FormatInt((bytes+1023)/1024, 10) + "K" }

// parseSize reads the size of a disk in a configuration, e.g. "528K" or "32G"; 0 for what
// is none.
func parseSize(text string) int64 {
	units := map[byte]int64{'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30, 'T': 1 << 40}
	factor := int64(1)
	if text != "" && units[text[len(text)-1]] != 0 {
		factor = units[text[len(text)-1]]
		text = strings.TrimRight(text, "KMGT")
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n > 1<<60 {
		return 0
	}
	return int64(n * float64(factor))
}
