package sshconfig

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
)

func TestOpenRefuses(t *testing.T) {
	home := shortDir(t)
	for name, tc := range map[string]struct {
		change func(*Options)
		code   problem.Code
	}{
		"relative user config":     {func(o *Options) { o.UserConfig = "config" }, problem.ConfigInvalid},
		"relative proxy":           {func(o *Options) { o.Executable = "nixvmd" }, problem.ConfigInvalid},
		"proxy with a newline":     {func(o *Options) { o.Executable = "/a\nHost *" }, problem.ConfigInvalid},
		"proxy argument":           {func(o *Options) { o.ProxyArgs = []string{"a\nb"} }, problem.ConfigInvalid},
		"unknown style":            {func(o *Options) { o.Style = "magic" }, problem.ConfigInvalid},
		"prefix with a star":       {func(o *Options) { o.Prefix = "*" }, problem.ConfigInvalid},
		"state path with a token":  {func(o *Options) { o.Layout.State = home + "/%h" }, problem.ConfigInvalid},
		"state path with a ${":     {func(o *Options) { o.Layout.State = home + "/${HOME}" }, problem.ConfigInvalid},
		"runtime path with a %":    {func(o *Options) { o.Layout.Runtime = home + "/%" }, problem.ConfigInvalid},
		"runtime path of 90 bytes": {func(o *Options) { o.Layout.Runtime = "/tmp/" + strings.Repeat("x", 73) }, problem.SSHPathTooLong},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Layout: paths.Under(home), UserConfig: filepath.Join(home, "config"), Executable: "/nixvmd"}
			tc.change(&o)
			_, err := Open(o)
			wantCode(t, err, tc.code)
		})
	}
}

func TestUserConfigDefaults(t *testing.T) {
	home := shortDir(t)
	t.Setenv("NIXVM_SSH_CONFIG", home+"/elsewhere")
	c, err := Open(Options{Layout: paths.Under(home), Executable: "/nixvmd"})
	if err != nil || c.UserConfig() != home+"/elsewhere" {
		t.Errorf("with NIXVM_SSH_CONFIG: %v", err)
	}
	t.Setenv("NIXVM_SSH_CONFIG", "")
	t.Setenv("HOME", home)
	// ssh does not look at $HOME, so neither do we.
	if c, err = Open(Options{Layout: paths.Under(home), Executable: "/nixvmd"}); err != nil || c.UserConfig() != filepath.Join(homeDir(), ".ssh", "config") {
		t.Errorf("default: %v", err)
	}
}
