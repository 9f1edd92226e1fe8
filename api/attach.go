package api

import "cmp"

// AttachParams requests what an editor needs to open the VM.
type AttachParams struct {
	Tokens
	// Name of the machine.
	Name string `json:"name"`
	// Admin: the admin account instead of user.
	Admin bool `json:"admin,omitempty"`
	// Directory in the guest; absent = the account's home.
	Directory string `json:"directory,omitempty"`
	// Start the VM if it is not running, and wait until it is ready.
	Start bool `json:"start,omitempty"`
}

// Validate implements Params.
func (p AttachParams) Validate() error {
	return cmp.Or(checkName(p.Name), checkLine("directory", p.Directory))
}

// AttachResult is everything needed to attach, in the syntax of each client.
type AttachResult struct {
	// Name of the machine.
	Name string `json:"name"`
	// SSHHost for ssh(1).
	SSHHost string `json:"sshHost"`
	// User is the account in the guest.
	User string `json:"user"`
	// Directory in the guest.
	Directory string `json:"directory"`
	// Tramp is the name for Emacs with nixvm's own method, e.g. /nixvm:demo:/home/user.
	Tramp string `json:"tramp"`
	// TrampPlain is the same with the method ssh.
	TrampPlain string `json:"trampPlain"`
	// VSCodeURI for Remote-SSH, e.g. vscode-remote://ssh-remote+demo/home/user.
	VSCodeURI string `json:"vscodeUri"`
	// Command is the argument vector that opens a shell there.
	Command []string `json:"command"`
	// Ready: sshd answers.
	Ready bool `json:"ready"`
}
