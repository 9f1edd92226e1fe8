package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

func newAttach(a *app) *cobra.Command {
	params := api.AttachParams{Start: true}
	editor, noStart := "", false
	cmd := &cobra.Command{
		Use: "attach NAME", Short: "Start a VM if necessary, and print how to open it or open it in an editor",
		Long: `Start a VM if necessary, wait until it is ready, and print how to open it: with
ssh, in Emacs (TRAMP) and in VS Code (Remote-SSH). --editor opens it.`,
		Example: `  nixvmd attach demo
  nixvmd attach demo --editor code --directory /home/user/project`,
		Args: takes("NAME"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			params.Name, params.Start = args[0], !noStart
			if err := names.Machine(params.Name); err != nil {
				return err
			}
			if err := checkEditor(editor); err != nil {
				return err
			}
			r, err := a.attach(cmd.Context(), params)
			if err != nil {
				return err
			}
			if editor == "" {
				return a.print(r, func(w io.Writer) { attachText(w, r) })
			}
			return a.openEditor(cmd.Context(), editor, params, r)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&params.Admin, "admin", false, "log in as admin")
	flags.StringVarP(&params.Directory, "directory", "d", "", "open `DIR` in the VM (default: the home directory)")
	flags.StringVarP(&editor, "editor", "e", "", "open it in `emacs|code|ssh`")
	flags.BoolVar(&noStart, "no-start", false, "do not start a stopped VM")
	_ = cmd.RegisterFlagCompletionFunc("editor", fixedWords(editors()...)) // fails for a flag that is not there
	return cmd
}

func editors() []string { return []string{"emacs", "code", "ssh"} }

func checkEditor(editor string) error {
	for _, e := range append(editors(), "") {
		if e == editor {
			return nil
		}
	}
	return problem.New(problem.BadParams, "--editor: %q is not one of %s", editor, strings.Join(editors(), ", ")).
		WithHint("without --editor, attach prints how to open the VM")
}

// attach asks for the attachment and shows meanwhile what the VM is doing.
func (a *app) attach(ctx context.Context, params api.AttachParams) (api.AttachResult, error) {
	feed := make(chan event, 64)
	d, err := a.connect(ctx, "attach", feed)
	if err != nil {
		return api.AttachResult{}, err
	}
	defer d.Close()
	type answer struct {
		result api.AttachResult
		err    error
	}
	done := make(chan answer, 1)
	go func() {
		r, err := attachTo(ctx, d, params)
		done <- answer{r, err}
	}()
	shown := attachView{app: a, machine: params.Name, view: a.idleView()}
	for {
		select {
		case r := <-done:
			drain(feed, shown.show)
			shown.view.end(shown.op, r.err)
			return r.result, r.err
		case e := <-feed:
			shown.show(e)
		}
	}
}

// attachView shows the operations of the machine that is attached to.
type attachView struct {
	app     *app
	machine string
	op      api.Operation // the latest
	view    view          // of op
}

func (v *attachView) show(e event) {
	for _, o := range e.operations {
		if o.Machine != v.machine || o.State != "running" {
			continue
		}
		if v.op.ID != o.ID {
			v.view.end(v.op, nil)
			v.view = v.app.newView(o)
		}
		v.op = o
		v.view.update(o)
	}
	for _, text := range e.notices {
		v.view.notice(text)
	}
}

// idleView is the view while there is nothing to show but notices.
func (a *app) idleView() view {
	if a.json {
		return jsonView{a.err}
	}
	return idleView{app: a}
}

type idleView struct {
	quietView
	app *app
}

func (v idleView) notice(text string) { v.app.warn(text) }

func attachText(w io.Writer, r api.AttachResult) {
	state := "ready"
	if !r.Ready {
		state = "not ready yet"
	}
	fields(w,
		[2]string{"State", state},
		[2]string{"Shell", strings.Join(r.Command, " ")},
		[2]string{"Emacs", "C-x C-f " + r.TrampPlain},
		[2]string{"Emacs with nixvm.el", "C-x C-f " + r.Tramp},
		[2]string{"VS Code", "code --folder-uri=" + r.VSCodeURI},
	)
}

// openEditor runs an editor on the directory in the VM.
func (a *app) openEditor(ctx context.Context, editor string, params api.AttachParams, r api.AttachResult) error {
	switch editor {
	case "ssh":
		argv, err := a.sshCommand(ctx, params.Name, params.Admin, false, nil)
		if err != nil {
			return err
		}
		return execute(argv)
	case "code":
		return execute([]string{"code", "--folder-uri=" + r.VSCodeURI})
	}
	// A running Emacs is asked first; without one, Emacs is started.
	if client, err := exec.LookPath("emacsclient"); err == nil {
		ask := exec.CommandContext(ctx, client, "--no-wait", "--eval", "t")
		if ask.Run() == nil {
			return execute([]string{"emacsclient", "--no-wait", r.TrampPlain})
		}
	}
	if err := execute([]string{"emacs", r.TrampPlain}); err != nil {
		return fmt.Errorf("open %s in Emacs: %w", r.TrampPlain, err)
	}
	return nil
}
