;;; nixvm-agent.el --- Run agents inside machines  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; An agent runs in a terminal of this machine, in a tmux session of the guest:
;; it has a real tty, and a lost connection does not end it.  Run the command
;; again and the same session is back.
;;
;; For agent-shell, which speaks to the agent over pipes:
;;
;;   (setq agent-shell-command-prefix #'nixvm-agent-command-prefix
;;         agent-shell-path-resolver-function #'nixvm-agent-resolve-path)
;;
;; For claude-code.el: `nixvm-claude-code'.

;;; Code:

(require 'nixvm-attach)

(declare-function claude-code "ext:claude-code" (&optional arg))
(defvar claude-code-program)
(defvar claude-code-program-switches)

(defcustom nixvm-agents '(("claude" . "claude") ("opencode" . "opencode"))
  "The agents: an alist of (NAME . COMMAND).
COMMAND is read by the login shell of the guest."
  :type '(alist :key-type string :value-type string)
  :group 'nixvm)

(defcustom nixvm-agent-tmux t
  "Whether agents run in tmux, so that they outlive the connection.
A guest without tmux runs them all the same."
  :type 'boolean
  :group 'nixvm)

(defcustom nixvm-agent-functions nil
  "Functions called with (MACHINE AGENT BUFFER) after an agent has been started."
  :type 'hook
  :group 'nixvm)

(defun nixvm--agent-session (agent directory)
  "The tmux session of AGENT in DIRECTORY of a guest: one per agent and project."
  (let ((project (file-name-nondirectory (directory-file-name directory))))
    (replace-regexp-in-string "[^A-Za-z0-9_-]" "_"
                              (if (member project '("" "user")) agent
                                (format "%s-%s" agent project)))))

(defconst nixvm--agent-packages
  '(("claude" "claude" "@anthropic-ai/claude-code" "https://claude.ai/install.sh")
    ("opencode" "open-code" "opencode-ai" "https://opencode.ai/install"))
  "The programs that images know: (PROGRAM PROFILE NPM-PACKAGE SCRIPT).
A guest that has nixvm-agent-install takes the package, another one the script.")

(defconst nixvm--agent-directory-script
  "directory=$1 session=$2 script=$3
shift 3
if ! cd \"$directory\" 2>&1; then
  printf 'RET closes this terminal. '
  read -r _
  exit
fi
if [ -n \"$session\" ] && command -v tmux >/dev/null; then
  exec tmux new-session -A -s \"$session\" /bin/sh -c \"$script\" sh \"$@\"
fi
exec /bin/sh -c \"$script\" sh \"$@\"
"
  "Goes to a directory and runs a script there, in tmux if it can.
Its arguments: directory, session or nothing, script, arguments of the script.")

(defconst nixvm--agent-script
  "agent=$1 command=$2 program=$3 install=$4 otherwise=$5
login() { \"${SHELL:-/bin/sh}\" -lc \"$1\"; }
there() { [ -z \"$program\" ] || login \"command -v $program >/dev/null 2>&1\"; }
run() {
  login \"$command\"
  case $? in 0 | 130 | 143) exit ;; esac
  printf '\\n%s has ended with an error; what it said is above. RET closes this terminal. ' \"$agent\"
  read -r _
  exit
}
if there; then
  run
fi
printf '\\n%s is not installed in this machine.\\n' \"$program\"
if [ -n \"$install\" ]; then
  login \"command -v ${install%% *} >/dev/null\" || install=$otherwise
  printf 'It can be installed into your home:\\n\\n  %s\\n\\nInstall it now? [y/N] ' \"$install\"
  read -r answer
  case $answer in
  [yY]*)
    if login \"$install\" && there; then
      run
    fi
    printf '%s could not be installed; the reason is above.\\n' \"$program\"
    ;;
  esac
else
  printf 'The variable nixvm-agents has the command that starts it.\\n'
fi
printf 'This is a shell in the machine; exit closes it.\\n'
exec \"${SHELL:-/bin/sh}\" -l
"
  "Runs an agent by the login shell, which sets the PATH that agents are in.
One that is not there, or fails, says so, and the terminal stays.  Its
arguments: name, command, its program, and the two lines that may install that.")

(defun nixvm--agent-program (command)
  "The program that COMMAND begins with; nil if that is more than a word."
  (and (string-match "\\`[ \t]*\\([[:alnum:]_./@+-]+\\)\\(?:[ \t\n]\\|\\'\\)" command)
       (match-string 1 command)))

(defun nixvm--agent-package (command)
  "The entry of `nixvm--agent-packages' for the program of COMMAND, or nil."
  (when-let ((program (nixvm--agent-program command)))
    (assoc (file-name-nondirectory program) nixvm--agent-packages)))

(defun nixvm--agent-line (agent directory)
  "The command line of AGENT in DIRECTORY of a guest, for a new run or again."
  (let* ((command (or (cdr (assoc agent nixvm-agents)) agent))
         (package (nixvm--agent-package command)))
    (cl-flet ((quoted (word) (concat "'" (string-replace "'" "'\\''" word) "'")))
      (concat
       "exec \"${SHELL:-/bin/sh}\" -lc "
       (quoted
        (concat
         "exec /bin/sh -c "
         (mapconcat
          #'quoted
          (list nixvm--agent-directory-script "sh" directory
                (if nixvm-agent-tmux (nixvm--agent-session agent directory) "")
                nixvm--agent-script agent command
                (or (nixvm--agent-program command) "")
                (if package (format "nixvm-agent-install %s" (nth 2 package)) "")
                (if package (format "curl -fsSL %s | bash" (nth 3 package)) ""))
          " ")))))))

(defun nixvm--agents-for (machine)
  "The names of the agents to offer in MACHINE.
Of those that images know, the ones of its profiles, and all that the user has
added; where none is left all of them, as one may have been installed by hand."
  (let* ((profiles (append (plist-get machine :profiles) nil))
         (there (cl-remove-if-not
                 (lambda (agent)
                   (let ((package (nixvm--agent-package (cdr agent))))
                     (or (null package) (member (nth 1 package) profiles))))
                 nixvm-agents)))
    (mapcar #'car (or there nixvm-agents))))

(defun nixvm--here (name)
  "The directory of the current buffer in the machine NAME, if it lies there.
It is the project's when there is a connection to ask."
  (and (equal (plist-get (nixvm-current-machine) :name) name)
       (file-remote-p default-directory)
       (file-local-name
        (or (and (file-remote-p default-directory nil t)
                 (locate-dominating-file default-directory ".git"))
            default-directory))))

;;;###autoload
(defun nixvm-run-agent (name agent &optional directory)
  "Run AGENT in the machine NAME, or come back to it if it is running.
Interactively, from a buffer of a machine: there, in the project of the buffer.
DIRECTORY is a directory in the machine; a prefix argument asks for it.
Closing the terminal leaves the agent running.  One that is not installed says
so in its terminal, and offers to install it."
  (interactive
   (let* ((name (or (nixvm--name-at-point)
                    (plist-get (nixvm-current-machine) :name)
                    (nixvm-read-machine "Run agent in" #'nixvm--exists-p)))
          (names (nixvm--agents-for (nixvm-machine name)))
          (default (car names)))
     (list name
           (completing-read (format-prompt "Agent" default) names nil nil nil
                            'nixvm--agent-history default)
           (or (nixvm--directory-of name) (nixvm--here name)))))
  (let ((open (make-symbol "nixvm-attach-agent")))
    (fset open (lambda (machine file) (nixvm--open-agent machine file agent)))
    (put open 'nixvm-instant t)
    (nixvm--attach name open directory)))

(defvar nixvm--agent-history nil "History of agents.")

(defun nixvm--open-agent (machine file agent)
  "Open the terminal of AGENT in the directory FILE of MACHINE."
  (let* ((directory (directory-file-name (file-local-name file)))
         (buffer (nixvm--run-terminal
                  machine
                  (format "*%s: %s*" (plist-get machine :name)
                          (nixvm--agent-session agent directory))
                  (nixvm--agent-line agent directory))))
    (when nixvm-auto-revert (nixvm--revert-with-agent machine))
    (run-hook-with-args 'nixvm-agent-functions machine agent buffer)
    buffer))

(defun nixvm--revert-with-agent (machine)
  "Keep what is open of MACHINE up to date with what its agent does."
  (dolist (buffer (nixvm-tramp--buffers machine))
    (with-current-buffer buffer
      (when (and buffer-file-name (not nixvm-auto-revert-mode))
        (nixvm-auto-revert-mode 1)))))

;;;; Other packages

;;;###autoload
(defun nixvm-agent-command-prefix (buffer)
  "Return the command prefix for a program where BUFFER is; nil if here.
For `agent-shell-command-prefix'.  The program speaks over its standard input
and output, hence no tty."
  (let ((directory (buffer-local-value 'default-directory buffer)))
    (when (nixvm-current-machine directory)
      (list nixvm-ssh-program "-T" (file-remote-p directory 'host)
            "--" "cd" (shell-quote-argument (file-local-name directory)) "&&"
            "exec" "\"${SHELL:-/bin/sh}\"" "-lc" "'exec \"$0\" \"$@\"'"))))

;;;###autoload
(defun nixvm-agent-resolve-path (path)
  "Return PATH as the other side names it: of the guest here, and the reverse.
For `agent-shell-path-resolver-function'."
  (cond ((file-remote-p path) (file-local-name path))
        ((nixvm-current-machine) (concat (file-remote-p default-directory) path))
        (t path)))

;;;###autoload
(defun nixvm-claude-code ()
  "Run `claude-code' of claude-code.el inside the machine of the current buffer."
  (interactive)
  (unless (require 'claude-code nil t)
    (user-error "The package claude-code.el is not installed"))
  (let* ((machine (or (nixvm-current-machine)
                      (user-error "This buffer lies in no machine")))
         (directory (nixvm--here (plist-get machine :name)))
         (line (nixvm--agent-line "claude" (directory-file-name (or directory "/home/user"))))
         (claude-code-program nixvm-ssh-program)
         (claude-code-program-switches
          (list "-t" (nixvm--host machine) "--" (concat nixvm--terminal-known line))))
    (nixvm--locally (claude-code))))

(provide 'nixvm-agent)
;;; nixvm-agent.el ends here
