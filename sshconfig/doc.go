// Package sshconfig makes `ssh <machine>` work, and goes away without a trace.
//
// # What is written
//
// Everything of ours lies in one directory (paths.Layout.SSH): config with two
// literal Host blocks per VM, known_hosts with the host keys that nixvm itself
// generated, and a client key. The user's own configuration gets two lines, a
// marker comment and an Include of our config, as its first lines: an Include
// further down would be scoped to the Host block above it. Those bytes are
// spliced in and cut out again; no other byte of the user's file is ever
// written differently. A file that cannot be edited safely (store-managed,
// read-only, broken markers) is left alone and the error names the line to add.
//
//	cfg, err := sshconfig.Open(sshconfig.Options{Layout: layout, Executable: exe})
//	res, err := cfg.Apply(ctx, hosts) // all hosts, every time
//	err = cfg.Remove(ctx)
//
// Apply always takes the complete list. It writes only what differs, asks
// `ssh -G` whether the changed entries mean what they should, and rolls back
// the ones that do not. It may be called from several processes at once.
//
// # Names
//
// A machine demo is reachable as demo (account user) and demo-admin (account
// admin), with Options.Prefix in front of both. Config.Aliases maps one way,
// Config.Resolve the other; `nixvmd proxy %n` gets the alias.
//
// # Connections
//
// Each alias has its own ControlMaster socket. CloseMasters ends the masters of
// a VM before it stops; ForwardAdd and ForwardRemove change the forwards of a
// live one. WaitReady tells when the guest's sshd answers with the pinned key.
// Dial opens the daemon's own connection, and a Holder keeps forwards on one.
//
// The guest is hostile: what it sends is bounded and only compared or copied.
// Values that reach a configuration line are validated here even if the caller
// did it before.
package sshconfig
