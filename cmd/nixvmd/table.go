package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
)

// table prints rows in columns. Cells are cleaned; an empty one becomes "-" so
// that every row has the same number of words.
func table(w io.Writer, header []string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		cells := make([]string, len(row))
		for i, c := range row {
			if cells[i] = clean(c); cells[i] == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	// Writing to a terminal: there is no place for an error.
	_ = t.Flush()
}

// sizeText is a number of bytes for people: 1.4 GiB.
func sizeText(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// fields prints names and values, one a line; what is empty is left out.
func fields(w io.Writer, pairs ...[2]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range pairs {
		if p[1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", p[0]+":", clean(p[1]))
		}
	}
	_ = t.Flush()
}
