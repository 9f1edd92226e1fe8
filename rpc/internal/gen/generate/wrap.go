package generate

import "strings"

// pageWidth is the width of the prose of the manual, in columns.
const pageWidth = 100

// wrap breaks a paragraph into lines of at most pageWidth columns; lines after the
// first begin with indent. A longer word stays whole.
func wrap(text, indent string) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		switch {
		case column == 0:
		case column+1+len(word) > pageWidth:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}
