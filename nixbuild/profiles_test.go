package nixbuild

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestProfileListsAreNormalised(t *testing.T) {
	tests := map[string]struct{ in, want []string }{
		"nothing":                   {nil, []string{}},
		"core is implied":           {[]string{"core", "", " core "}, []string{}},
		"sorted, each once":         {[]string{"python", "dev", "python"}, []string{"dev", "python"}},
		"with what is required too": {[]string{"nvidia"}, []string{"docker", "nvidia"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := NormaliseProfiles(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, bad := range []string{"no-such", "../dev", "dev\nclaude", "DEV"} {
		if _, err := NormaliseProfiles([]string{bad}); !problem.HasCode(err, problem.ProfileUnknown) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestAgentProfilesAreKnown(t *testing.T) {
	if !HasAgent([]string{"dev", "claude"}) || HasAgent([]string{"dev", "no-such"}) {
		t.Error("which profiles are agents")
	}
}
