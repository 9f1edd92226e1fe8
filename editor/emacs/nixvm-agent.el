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
(require 'nixvm-create)

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
In a guest without tmux they run directly."
  :type 'boolean
  :group 'nixvm)

(defcustom nixvm-agent-functions nil
  "Functions called with (MACHINE AGENT BUFFER) after an agent has been started."
  :type 'hook
  :group 'nixvm)

(defun nixvm--agents-for (name)
  "The names of the agents to offer in the machine NAME."
  (mapcar (lambda (agent) (plist-get agent :name))
          (plist-get (nixvm--call "nixvm/agent/list"
                                  (list :name name
                                        :agents (vconcat (mapcar (lambda (agent)
                                                                   (list :name (car agent)
                                                                         :command (cdr agent)))
                                                                 nixvm-agents))))
                     :agents)))

(defun nixvm--agent-params (name agent directory)
  "The params of nixvm/agent/command for AGENT in DIRECTORY of the machine NAME.
DIRECTORY is nil for the home."
  (nixvm--given (list :name name :agent agent :command (cdr (assoc agent nixvm-agents))
                      :directory (and directory (directory-file-name directory))
                      :tmux (if nixvm-agent-tmux t :json-false))))

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
  "Run AGENT in the machine NAME, or reattach to it if it is running.
Interactively, from a buffer of a machine: there, in the project of the buffer.
DIRECTORY is a directory in the machine; a prefix argument asks for it.
Closing the terminal leaves the agent running.  One that is not installed says
so in its terminal, and offers to install it."
  (interactive
   (let* ((name (or (nixvm--name-at-point)
                    (plist-get (nixvm-current-machine) :name)
                    (nixvm-read-machine "Run agent in" #'nixvm--exists-p)))
          (names (nixvm--agents-for name))
          (default (car names)))
     (list name
           (completing-read (format-prompt "Agent" default) names nil nil nil
                            'nixvm--agent-history default)
           (or (nixvm--directory-of name) (nixvm--here name)))))
  (let ((open (make-symbol "nixvm-attach-agent")) run)
    (fset open (lambda (machine _file) (nixvm--open-agent machine agent run)))
    (put open 'nixvm-instant t)
    (put open 'nixvm-prepare
         (lambda (file then fail)
           (nixvm--async "nixvm/agent/command"
                         (nixvm--agent-params name agent (file-local-name file))
                         (lambda (result) (setq run result) (funcall then))
                         fail)))
    (nixvm--attach name open directory)))

(defvar nixvm--agent-history nil "History of agents.")

(defun nixvm--open-agent (machine agent run)
  "Open the terminal of AGENT in MACHINE; RUN is the answer of the daemon."
  (let ((buffer (nixvm--run-terminal
                 machine
                 (format "*%s: %s*" (plist-get machine :name) (plist-get run :session))
                 (plist-get run :line))))
    (when nixvm-auto-revert (nixvm--revert-with-agent machine))
    (run-hook-with-args 'nixvm-agent-functions machine agent buffer)
    buffer))

(defun nixvm--revert-with-agent (machine)
  "Keep the open files of MACHINE up to date while its agent is working."
  (dolist (buffer (nixvm-tramp--buffers machine))
    (with-current-buffer buffer
      (when (and buffer-file-name (not nixvm-auto-revert-mode))
        (nixvm-auto-revert-mode 1)))))

;;;; Other packages

;;;###autoload
(defun nixvm-agent-command-prefix (buffer)
  "Return the command prefix to run a program where BUFFER is; nil if local.
For `agent-shell-command-prefix'.  The program speaks over its standard input
and output, hence no tty."
  (let ((directory (buffer-local-value 'default-directory buffer)))
    (when (nixvm-current-machine directory)
      (list nixvm-ssh-program "-T" (file-remote-p directory 'host)
            "--" "cd" (shell-quote-argument (file-local-name directory)) "&&"
            "exec" "\"${SHELL:-/bin/sh}\"" "-lc" "'exec \"$0\" \"$@\"'"))))

;;;###autoload
(defun nixvm-agent-resolve-path (path)
  "Translate PATH between the names of the guest and those of this Emacs.
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
                      (user-error "This buffer does not belong to a machine")))
         (directory (nixvm--here (plist-get machine :name)))
         (run (nixvm--call "nixvm/agent/command"
                           (nixvm--agent-params (plist-get machine :name) "claude" directory)))
         (claude-code-program nixvm-ssh-program)
         (claude-code-program-switches
          (list "-t" (nixvm--host machine) "--"
                (concat nixvm--terminal-known (plist-get run :line)))))
    (nixvm--locally (claude-code))))

(provide 'nixvm-agent)
;;; nixvm-agent.el ends here
