package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nixvm/nixvm/cmd/nixvmd/internal/scripttest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"nixvmd": main})
}

// TestScripts runs what users type, on the real program with a daemon of its
// own for each script. None of them boots a guest: those are in package story.
func TestScripts(t *testing.T) {
	testscript.Run(t, scripttest.Params("testdata/script"))
}
