// Command pvesim runs the simulator of the Proxmox VE API until it is
// interrupted, and prints what a client needs: docs/pvesim.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
	"github.com/nixvm/nixvm/backends/proxmox/pvesim/qemuguest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("pvesim", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:8006", "`address` to listen at")
	version := flags.String("version", pvesim.DefaultVersion, "`release` of Proxmox VE, 8.3 or later")
	nodes := flags.String("nodes", "pve1", "`names` of the nodes, with commas")
	guests := flags.Bool("guests", false, "run started VMs with QEMU; their addresses need a route: docs/pvesim.md")
	delay := flags.Float64("delay", 1, "`factor` for the waiting times of a real server")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("pvesim: %w", err)
	}
	dir, err := os.MkdirTemp("", "pvesim-")
	if err != nil {
		return fmt.Errorf("pvesim: a directory for uploads: %w", err)
	}
	defer os.RemoveAll(dir)
	config := pvesim.Config{Listen: *listen, Version: *version, Nodes: strings.Split(*nodes, ","), Delay: *delay, Dir: dir}
	if *guests {
		config.Machines = qemuguest.New(dir)
	}
	sim, err := pvesim.New(config)
	if err != nil {
		return fmt.Errorf("pvesim: %w", err)
	}
	defer sim.Close()
	fmt.Fprintf(out, "url          %s\ncertificate  %s\nfingerprint  %s\ntoken        %s\nroot@pam     %s\n",
		sim.URL, sim.CAFile, sim.Fingerprint, sim.Token(), sim.RootPassword)
	<-ctx.Done()
	return nil
}
