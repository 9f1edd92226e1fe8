// Command svgcast runs a command in a real terminal and draws what it showed as
// an animated SVG.
//
//	go run ./internal/svgcast -o docs/images/demo.svg -- scripts/demo
//
// The terminal is tmux, so everything that a program may send to one is
// understood. What is drawn is what stood there; only the waiting is cut, and the
// picture says how long the run really took. The home directory becomes ~: it is
// not shown. A reader who asked for less motion sees the last frame.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "svgcast:", err)
		os.Exit(1)
	}
}

func run() error {
	size := Size{}
	out := flag.String("o", "", "file to write")
	title := flag.String("title", "", "text in the window's title bar; the command when empty")
	flag.IntVar(&size.Columns, "columns", 100, "width of the terminal")
	flag.IntVar(&size.Rows, "rows", 32, "height of the terminal")
	longest := flag.Duration("longest", 1500*time.Millisecond, "show no frame for longer than this")
	limit := flag.Duration("limit", 20*time.Minute, "give up after this long")
	flag.Parse()
	if *out == "" || flag.NArg() == 0 {
		return fmt.Errorf("usage: svgcast -o FILE -- COMMAND [ARGUMENT...]")
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	frames, err := Record(ctx, size, flag.Args())
	if err != nil {
		return err
	}
	if *title == "" {
		*title = flag.Arg(0)
	}
	return os.WriteFile(*out, Draw(frames, Style{Size: size, Title: *title, Longest: *longest}), 0o644)
}
