package nixbuild

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/internal/problem"
)

var catalogue = Catalogue{
	{Name: Core},
	{Name: "claude", Agent: true},
	{Name: "dev"},
	{Name: "python"},
	{Name: "docker"},
	{Name: "nvidia", Requires: []string{"docker"}},
	{Name: "cuda", Requires: []string{"nvidia"}, Conflicts: []string{"rocm"}},
	{Name: "rocm", Requires: []string{"docker"}},
	{Name: "broken", Requires: []string{"nowhere"}},
	{Name: "loop", Requires: []string{"loop"}},
}

func TestProfileListsAreNormalised(t *testing.T) {
	tests := map[string]struct{ in, want []string }{
		"nothing":                   {nil, []string{}},
		"core is implied":           {[]string{"core", "", " core "}, []string{}},
		"sorted, each once":         {[]string{"python", "dev", "python"}, []string{"dev", "python"}},
		"with what is required too": {[]string{"nvidia"}, []string{"docker", "nvidia"}},
		"and what that requires":    {[]string{"cuda", "docker"}, []string{"cuda", "docker", "nvidia"}},
		"one that requires itself":  {[]string{"loop"}, []string{"loop"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := catalogue.Normalise(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, bad := range []string{"no-such", "../dev", "dev\nclaude", "DEV", "broken"} {
		if _, err := catalogue.Normalise([]string{bad}); !problem.HasCode(err, problem.ProfileUnknown) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestProfilesThatExcludeEachOtherAreRefused(t *testing.T) {
	if _, err := catalogue.Normalise([]string{"rocm", "cuda"}); !problem.HasCode(err, problem.ProfileConflict) {
		t.Errorf("got %v", err)
	}
}

func TestAKindAddsItsProfilesToThoseOfAnother(t *testing.T) {
	one := Catalogue{{Name: Core, Description: "first", Images: []string{"a"}}, {Name: "x", Images: []string{"a"}}}
	two := Catalogue{{Name: "x", Agent: true, Images: []string{"b"}}, {Name: "b", Images: []string{"b"}}, {Name: Core, Description: "second", Images: []string{"b"}}}
	got := one.merge(two)
	got.Sort()
	want := Catalogue{{Name: Core, Description: "first", Images: []string{"a", "b"}}, {Name: "b", Images: []string{"b"}}, {Name: "x", Agent: true, Images: []string{"a", "b"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(one[0].Images) != 1 {
		t.Error("merging changed what was merged")
	}
}

func TestAgentProfilesAreKnown(t *testing.T) {
	if !catalogue.HasAgent([]string{"dev", "claude"}) || catalogue.HasAgent([]string{"dev", "no-such"}) {
		t.Error("which profiles are agents")
	}
}

func TestAProfileThatIsNotKnownAnyMoreMayHaveBeenAnAgent(t *testing.T) {
	bare := Catalogue{{Name: "dev"}, {Name: "claude", Agent: true}}
	for names, want := range map[string]bool{"dev": false, Core: false, "claude": true, "gone": true} {
		if got := bare.MayHaveAgent([]string{"dev", names}); got != want {
			t.Errorf("%s: %v", names, got)
		}
	}
}
