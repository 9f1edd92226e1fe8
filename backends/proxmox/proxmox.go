// Package proxmox runs VMs on a Proxmox VE cluster, which it asks by the HTTP API with an
// API token: it needs neither root nor SSH on the nodes. docs/proxmox.md is for users.
//
// What the backend knows of a VM is in the cluster: the tags of a VM say whose it is and
// which ([mark]), and a line of JSON in its description what it is made of ([record]). One
// list per node so tells the VMs of a cluster apart, without a question for each. A VM
// without our tags is never touched.
//
// An image is a template, made once from an upload. The boot disk of a VM is a linked clone
// of it, whose place a new one takes at each start; the state disk is a second disk. A
// mutable VM is a full clone, with one disk. The identity medium is an ISO image on the
// storage for uploads.
package proxmox

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/console"
	"github.com/nixvm/nixvm/backends/internal/ctxlock"
	"github.com/nixvm/nixvm/backends/internal/owner"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/paths"
)

// Config is what a backend is opened with.
type Config struct {
	Name   string // configured name
	Layout paths.Layout
	Log    *slog.Logger
	API    pve.Config
	Node   string // where VMs are made; empty = any
	Images string // storage for uploads: content types import and iso
	Disks  string // storage for the disks of VMs
	Bridge string // of VMs that name none
	Pool   string // resource pool of the VMs; empty = none
	VMIDs  idRange
	// Poll is the pause between two questions for changes; 0 = 3 s.
	Poll time.Duration
	// FirewallDelay is within which a node applies changes of its firewall; 0 = 12 s.
	FirewallDelay time.Duration
}

// Backend implements backends.Backend.
type Backend struct {
	config Config
	api    *pve.Client
	owner  owner.Owner
	log    *slog.Logger
	events *backends.Queue

	names  ctxlock.ByName // one change of a VM at a time
	images ctxlock.ByName // one upload of an image at a time
	ids    ctxlock.Mutex  // one number is chosen at a time
	view   view

	consoles console.OnDemand

	abilities abilities
	walls     walls
	changes   changes

	stop context.CancelFunc
	wg   sync.WaitGroup
	once sync.Once
}

var (
	_ backends.Backend          = (*Backend)(nil)
	_ backends.ImageHost        = (*Backend)(nil)
	_ backends.DefaultNetworker = (*Backend)(nil)
	_ backends.BridgeHost       = (*Backend)(nil)
	_ backends.Autostarter      = (*Backend)(nil)
	_ backends.Allocator        = (*Backend)(nil)
	_ backends.Cloner           = (*Backend)(nil)
	_ backends.Conditional      = (*Backend)(nil)
	_ backends.DiskGrower       = (*Backend)(nil)
	_ backends.FileSystemGrower = (*Backend)(nil)
	_ backends.Console          = (*Backend)(nil)
	_ backends.Suspender        = (*Backend)(nil)
	_ backends.HostFirewall     = (*Backend)(nil)
	_ backends.ImageSwapper     = (*Backend)(nil)
	_ backends.Importer         = (*Backend)(nil)
	_ backends.IdentityRenewer  = (*Backend)(nil)
	_ backends.LiveFirewall     = (*Backend)(nil)
	_ backends.NodeMigrator     = (*Backend)(nil)
	_ backends.PCIHost          = (*Backend)(nil)
	_ backends.PortFirewall     = (*Backend)(nil)
	_ backends.Shelver          = (*Backend)(nil)
	_ backends.Snapshotter      = (*Backend)(nil)
)

// New opens the backend. The cluster need not answer yet.
func New(c Config) (*Backend, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Poll == 0 {
		c.Poll = 3 * time.Second
	}
	if c.FirewallDelay == 0 {
		c.FirewallDelay = applyTime
	}
	if c.VMIDs == (idRange{}) {
		c.VMIDs = idRange{lowestID, highestID}
	}
	api, err := pve.New(c.API)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &Backend{
		config: c, api: api, owner: owner.Of(c.Layout.State), log: c.Log.With("backend", c.Name),
		events: backends.NewQueue(), stop: stop,
	}
	b.view.init()
	b.wg.Go(func() { b.poll(ctx) })
	return b, nil
}

// Name of the backend.
func (b *Backend) Name() string { return b.config.Name }

// Type is "proxmox".
func (b *Backend) Type() string { return "proxmox" }

// DefaultNetwork is the configured bridge: a cluster has no network without one.
func (b *Backend) DefaultNetwork() backends.Network {
	return backends.Network("bridge:" + b.config.Bridge)
}

// Events of the VMs.
func (b *Backend) Events() <-chan backends.Event { return b.events.Out() }

// Mark puts a mark into the stream of events.
func (b *Backend) Mark(number uint64) { b.events.Mark(number) }

// Close lets go; VMs and tasks run on.
func (b *Backend) Close() error {
	b.once.Do(func() {
		b.consoles.Close()
		b.stop()
		b.wg.Wait()
		b.events.Close()
		b.api.Close()
	})
	return nil
}
