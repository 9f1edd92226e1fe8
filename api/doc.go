// Package api holds the terms of the protocol: one Go type for each, with its
// documentation, validation and JSON encoding.
//
// All parts use these types: backends and images return them, package vm works
// with them, package rpc sends them as they are, and clients receive them. A
// package converts one only where the meaning changes: into the spec of a
// backend, the text of a file in a machine directory, a line of ssh_config.
//
// The generator (rpc/internal/gen) reads this package. The comments of types and
// fields are the text of docs/protocol.md, rpc/openrpc.json and the TypeScript
// types. Text written by a tool or a guest is untrusted: package rpc removes control
// characters before it sends a value.
//
// Package api is a leaf: it imports only packages below internal/.
package api
