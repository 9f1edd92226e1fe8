package generate

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWrappedTextHasTheSameWordsInLinesThatFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOf(rapid.StringMatching(`[a-z.]{1,120}`)).Draw(t, "words")
		indent := rapid.SampledFrom([]string{"", "  "}).Draw(t, "indent")
		got := wrap(strings.Join(words, " "), indent)
		if again := strings.Join(strings.Fields(got), " "); again != strings.Join(words, " ") {
			t.Fatalf("got the words %q", again)
		}
		for i, line := range strings.Split(got, "\n") {
			if i > 0 && !strings.HasPrefix(line, indent) {
				t.Fatalf("no indent: %q", line)
			}
			if len(line) > pageWidth && len(strings.Fields(line)) > 1 {
				t.Fatalf("%d columns: %q", len(line), line)
			}
		}
	})
}
