package main

import "github.com/spf13/cobra"

func newImport(a *app) *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use: "import FILE [NAME]", Short: "Create a VM from an archive",
		Long: `Create a machine and its VM from an archive that export or backup has written, on any
backend that supports it. The image is built or downloaded if it is missing.

An archive from elsewhere is not trusted: settings with effects beyond the VM (image,
backend, network, remote forwards, exceptions to the isolation, keys) are shown and
must be confirmed. Scripts confirm with --confirm.`,
		Example: `  nixvmd import demo.nixvm.tar.zst
  nixvmd import demo.nixvm.tar.zst demo2 --backend lab --confirm demo2`,
		Args: takes("FILE", "[NAME]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) > 1 {
				name = args[1]
			}
			return a.restoreBackup(cmd.Context(), "import", args[0], name, f)
		},
	}
	f.add(a, cmd)
	return cmd
}
