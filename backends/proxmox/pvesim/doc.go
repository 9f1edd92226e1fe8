// Package pvesim is a simulator of the HTTP API of Proxmox VE, for tests of the
// backend and for trying nixvm without a server:
//
//	sim := pvesim.Start(t, pvesim.Config{})
//	// sim.URL, sim.Token(), sim.Fingerprint ...
//
// It answers over HTTPS the methods that nixvm uses, out of memory: API tokens
// with privilege separation and ACLs, parameters checked by the official schema,
// asynchronous tasks with logs, uploads with their strict order of fields, VMs
// with their locks and digests, snapshots, clones, firewall, guest agent, and a
// cluster of several nodes. [Server.Inject] and its siblings make it fail in the
// ways real servers do.
//
// A rule names its source in a comment: `recorded N` is pair N of the answers of
// a real Proxmox VE 9.2 (testdata/recorded.jsonl), `upload N` the multipart
// uploads recorded there, `schema` the official schema of 9.1, `source` what the
// Perl code of Proxmox VE says. docs/pvesim.md lists what was never seen on a
// real server.
//
// One mutex guards the cluster. A handler or a task holds it except while it
// waits ([Server.pause], the locks), so that each step is atomic, and whatever
// was looked up before a wait has to be looked up again after it.
package pvesim
