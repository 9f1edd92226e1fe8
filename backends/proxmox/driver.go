package proxmox

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/names"
)

// settings are those of a backend in config.toml.
type settings struct {
	URL          string   `toml:"url"`
	TokenID      string   `toml:"token_id"`
	TokenFile    string   `toml:"token_file"`
	TokenEnv     string   `toml:"token_env"`
	TokenCommand []string `toml:"token_command"`
	CAFile       string   `toml:"ca_file"`
	Fingerprint  string   `toml:"fingerprint"`
	Node         string   `toml:"node"`
	Images       string   `toml:"images"`
	Disks        string   `toml:"disks"`
	Bridge       string   `toml:"bridge"`
	Pool         string   `toml:"pool"`
	VMIDs        string   `toml:"vmids"`
}

// Driver is the type "proxmox".
func Driver() backends.Driver {
	return backends.NewDriver("proxmox", settings.check, func(s backends.Site, c settings) (backends.Backend, error) {
		vmids, err := parseRange(c.VMIDs)
		if err != nil {
			return nil, err
		}
		return New(Config{
			Name: s.Name, Layout: s.Layout, Log: s.Log,
			API: pve.Config{
				URL: c.URL, TokenID: c.TokenID, Secret: c.secret().Kept(),
				Trust: pve.Trust{CAFile: c.CAFile, Fingerprint: c.Fingerprint}, Log: s.Log,
			},
			Node: c.node(), Images: c.Images, Disks: c.Disks, Bridge: cmp.Or(c.Bridge, defaultBridge), Pool: c.Pool, VMIDs: vmids,
		})
	})
}

const defaultBridge = "vmbr0"

func (c settings) secret() pve.Secret {
	return pve.Secret{File: c.TokenFile, Env: c.TokenEnv, Command: c.TokenCommand}
}

// node is the one that is configured; empty = any.
func (c settings) node() string {
	if c.Node == "any" {
		return ""
	}
	return c.Node
}

// The forms of names in Proxmox VE: nodes are host names, the others pve-configid and its kin.
var (
	nodeForm    = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$`)
	storageForm = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9.\-_]*[a-zA-Z0-9]$`)
	poolForm    = regexp.MustCompile(`^[A-Za-z0-9.\-_]+(/[A-Za-z0-9.\-_]+){0,2}$`)
)

// check finds what is wrong without asking the server.
func (c settings) check() error {
	if err := cmp.Or(pve.CheckURL(c.URL), pve.CheckTokenID(c.TokenID), c.secret().Check(), pve.Trust{CAFile: c.CAFile, Fingerprint: c.Fingerprint}.Check()); err != nil {
		return err
	}
	switch {
	case c.Node != "" && !nodeForm.MatchString(c.Node):
		return fmt.Errorf("node %q is not the name of a node, or any", c.Node)
	case !storageForm.MatchString(c.Images):
		return fmt.Errorf("images %q is not a storage; it gets the images and identity media that are uploaded, e.g. local", c.Images)
	case !storageForm.MatchString(c.Disks):
		return fmt.Errorf("disks %q is not a storage; it has the disks of the VMs, e.g. local-lvm", c.Disks)
	case c.Bridge != "" && !names.IsBridge(c.Bridge):
		return fmt.Errorf("bridge %q is not an interface name; %s", c.Bridge, names.BridgeHint)
	case c.Pool != "" && !poolForm.MatchString(c.Pool):
		return fmt.Errorf("pool %q is not a resource pool", c.Pool)
	}
	_, err := parseRange(c.VMIDs)
	return err
}

// idRange is the VM numbers that the backend may use.
type idRange struct{ first, last int }

// The numbers that Proxmox VE accepts.
const (
	lowestID  = 100
	highestID = 999_999_999
)

// parseRange reads "9000-9999"; empty = all.
func parseRange(text string) (idRange, error) {
	if text == "" {
		return idRange{lowestID, highestID}, nil
	}
	from, to, ok := strings.Cut(text, "-")
	first, err1 := strconv.Atoi(strings.TrimSpace(from))
	last, err2 := strconv.Atoi(strings.TrimSpace(to))
	if !ok || errors.Join(err1, err2) != nil || first < lowestID || last > highestID || first > last {
		return idRange{}, fmt.Errorf("vmids %q is not a range of VM numbers from %d to %d, e.g. 9000-9999", text, lowestID, highestID)
	}
	return idRange{first, last}, nil
}
