;;; nixvm-attach.el --- Ways into a machine  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; Attaching is three steps, of which Emacs waits only for the last: start the
;; machine if it is off, open the shared ssh connection with a preflight that
;; brings ssh's own error message, and open the buffer over it.

;;; Code:

(require 'dired)
(require 'nixvm-tramp-away)

(declare-function eat-make "ext:eat" (name program &optional startfile &rest switches))
(declare-function magit-status-setup-buffer "ext:magit-status" (&optional directory))
(declare-function vterm "ext:vterm" (&optional arg))
(declare-function eshell "eshell" (&optional arg))
(declare-function term-mode "term" ())
(declare-function term-char-mode "term" ())
(declare-function make-term "term" (name program &optional startfile &rest switches))
(defvar vterm-shell)
(defvar eshell-buffer-name)
(defvar explicit-shell-file-name)
(defvar explicit-env-args)

(defcustom nixvm-attach-function #'nixvm-attach-dired
  "What to open when attaching to a machine.
A function of the machine and the TRAMP name of a directory in it."
  :type '(choice (function-item :tag "Dired" nixvm-attach-dired)
                 (function-item :tag "Find file" nixvm-attach-find-file)
                 (function-item :tag "Shell" nixvm-attach-shell)
                 (function-item :tag "Eshell" nixvm-attach-eshell)
                 (function-item :tag "Terminal" nixvm-attach-terminal)
                 (function-item :tag "Magit" nixvm-attach-magit)
                 function)
  :group 'nixvm)

(defcustom nixvm-directories nil
  "The project directory of each machine: an alist of (NAME . DIRECTORY).
NAME is a machine or t for all others.  The default is the home directory."
  :type '(alist :key-type (choice (const :tag "All others" t) string) :value-type string)
  :group 'nixvm)

(defcustom nixvm-terminal 'auto
  "The terminal emulator for terminals and agents.
A function gets the name of a buffer and an argument list; it returns the
buffer."
  :type '(choice (const :tag "Vterm or eat if installed, else term" auto)
                 (const vterm) (const eat) (const term) function)
  :group 'nixvm)

(defcustom nixvm-auto-revert t
  "Whether files of machines are reverted when an agent changes them.
See `nixvm-auto-revert-mode'."
  :type 'boolean
  :group 'nixvm)

(defcustom nixvm-after-attach-functions nil
  "Functions called with the machine after a buffer in it has been opened.
The buffer is current."
  :type 'hook
  :group 'nixvm)

;;;; Attach

(defun nixvm--directory (name)
  "The directory of the machine NAME as `nixvm-directories' has it, or nil."
  (or (alist-get name nixvm-directories nil nil #'equal)
      (alist-get t nixvm-directories)))

(defun nixvm--attach (name function &optional directory)
  "Start the machine NAME if need be, then open DIRECTORY in it with FUNCTION.
FUNCTION gets the machine and the TRAMP name of the directory.  The property
`nixvm-prepare' of a symbol is called first, with that name and two functions,
one of which it calls: without arguments, or with an error plist."
  (let ((origin (nixvm--origin))
        (title (format "Attach %s" name))
        (machine (nixvm-machine name)))
    (cl-labels
        ((fail (err) (nixvm--show-error err title))
         (ask ()
           (nixvm--async "nixvm/attach"
                         (append (list :name name)
                                 (when-let ((dir (or directory (nixvm--directory name))))
                                   (list :directory dir)))
                         #'prepare #'fail))
         (prepare (target)
           (if-let ((first (and (symbolp function) (get function 'nixvm-prepare))))
               (funcall first (plist-get target :tramp) (lambda () (preflight target)) #'fail)
             (preflight target)))
         (preflight (target)
           (message "%s...connecting" title)
           (nixvm--preflight (nixvm--host (or (nixvm-machine name) (list :name name)))
                             (lambda () (nixvm--later #'nixvm--open origin name function
                                                      (plist-get target :tramp)))
                             #'fail)))
      (if (or (null machine) (nixvm--up-p machine))
          (ask)
        (when (and (eq nixvm-start-on-open 'ask)
                   (not (y-or-n-p (format "%s is %s.  Start it? " name
                                          (nixvm--state machine)))))
          (keyboard-quit))
        (when (eq nixvm-start-on-open 'no)
          (user-error "%s is %s, and `nixvm-start-on-open' is no" name
                      (nixvm--state machine)))
        (nixvm--begin (nixvm--start-method machine) (list :name name) (format "Start %s" name)
                      (lambda (_) (ask)))))))

(defun nixvm--origin ()
  "The window and buffer of the user, and the number of keys typed so far."
  (list (selected-window) (window-buffer) num-input-keys))

(defun nixvm--open (origin name function file)
  "Open FILE of the machine NAME with FUNCTION, when the user can be disturbed.
ORIGIN is where the user was.  Emacs must not block while it is in use.
Terminals and Dired open without waiting for the guest; anything else waits for
it, and is opened only if the user has done nothing since."
  (cond
   ((active-minibuffer-window)
    (run-at-time 0.5 nil #'nixvm--open origin name function file))
   ((eq function #'nixvm-attach-dired)
    (nixvm--list-directory
     file
     (lambda (listing) (nixvm--later #'nixvm--show origin name #'nixvm--visit-listing file listing))
     (lambda (err) (nixvm--show-error err (format "Attach %s" name)))))
   ((or (and (symbolp function) (get function 'nixvm-instant)) (equal origin (nixvm--origin)))
    (nixvm--show origin name function file))
   (t
    (message "%s is ready; %s" name
             (substitute-command-keys "\\[nixvm-attach] opens it")))))

(defun nixvm--show (origin name function file &rest args)
  "Call FUNCTION with the machine NAME, FILE and ARGS, and show what it opens.
ORIGIN is where the user was.  If the user has moved on meanwhile, the window is
kept and the new buffer is shown in another one."
  (if (active-minibuffer-window)
      (apply #'run-at-time 0.5 nil #'nixvm--show origin name function file args)
    (let* ((machine (or (nixvm-machine name) (list :name name)))
           (file (file-name-as-directory file))
           (there (equal (seq-take origin 2) (seq-take (nixvm--origin) 2)))
           ;; It is what the user has asked for, be it by a command of before.
           (this-command (or this-command 'nixvm-attach)))
      (condition-case err
          (let ((buffer (if there
                            (progn (apply function machine file args) (current-buffer))
                          (save-window-excursion
                            (apply function machine file args) (current-buffer)))))
            (unless there (display-buffer buffer))
            (with-current-buffer buffer
              (run-hook-with-args 'nixvm-after-attach-functions machine))
            (message "Attached to %s" name))
        ((error quit)
         (nixvm--show-error (nixvm--problem "ssh.unreachable" (error-message-string err))
                            (format "Attach %s" name)))))))

;;;; Dired without waiting

(defun nixvm--list-directory (file then fail)
  "Call THEN with the listing of the directory FILE, a TRAMP name, or FAIL.
Never wait."
  (nixvm--ssh (file-remote-p file 'host)
              (format "cd %s && LC_ALL=C ls %s ." (shell-quote-argument (file-local-name file))
                      dired-listing-switches)
              then fail))

(defun nixvm--visit-listing (_machine file listing)
  "Visit the directory FILE in Dired, with the files of LISTING.
TRAMP would connect for that, which takes seconds; now the first file that is
opened does it.  \\<dired-mode-map>\\[revert-buffer] lists it anew."
  (switch-to-buffer
   (or (dired-find-buffer-nocreate file)
       (with-current-buffer (create-file-buffer (directory-file-name file))
         (let ((non-essential t) ; nothing of Dired's setup may connect
               (inhibit-read-only t)
               (header (format "%s:\n" (directory-file-name file))))
           (insert (replace-regexp-in-string "^\\(.\\)" "  \\1" (concat header listing)))
           (setq default-directory file)
           (dired-mode file dired-listing-switches)
           (setq-local dired-subdir-alist nil)
           (dired-build-subdir-alist)
           (dired-insert-set-properties (point-min) (point-max))
           (dired-initial-position file)
           (set-buffer-modified-p nil))
         (current-buffer)))))

(defun nixvm--directory-of (name)
  "Ask for a directory in the machine NAME when there is a prefix argument."
  (and current-prefix-arg
       (read-string "Directory in the machine: " (or (nixvm--directory name) "/home/user/"))))

(defun nixvm--read-attach (prompt)
  "Return (NAME DIRECTORY), which all attach commands read; PROMPT is for the name."
  (let ((name (or (nixvm--name-at-point)
                  (nixvm-read-machine prompt #'nixvm--exists-p))))
    (list name (nixvm--directory-of name))))

;;;###autoload
(defun nixvm-attach (name &optional directory)
  "Open the machine NAME with `nixvm-attach-function'; start it if need be.
With a prefix argument ask for the DIRECTORY in the machine."
  (interactive (nixvm--read-attach "Attach to"))
  (nixvm--attach name nixvm-attach-function directory))

;;;###autoload
(defun nixvm-dired (name &optional directory)
  "Open Dired on DIRECTORY in the machine NAME."
  (interactive (nixvm--read-attach "Dired in"))
  (nixvm--attach name #'nixvm-attach-dired directory))

;;;###autoload
(defun nixvm-find-file (name &optional directory)
  "Ask for a file below DIRECTORY in the machine NAME and open it."
  (interactive (nixvm--read-attach "Find file in"))
  (nixvm--attach name #'nixvm-attach-find-file directory))

;;;###autoload
(defun nixvm-shell (name &optional directory)
  "Run a shell in DIRECTORY of the machine NAME."
  (interactive (nixvm--read-attach "Shell in"))
  (nixvm--attach name #'nixvm-attach-shell directory))

;;;###autoload
(defun nixvm-eshell (name &optional directory)
  "Run Eshell in DIRECTORY of the machine NAME."
  (interactive (nixvm--read-attach "Eshell in"))
  (nixvm--attach name #'nixvm-attach-eshell directory))

;;;###autoload
(defun nixvm-terminal (name &optional directory)
  "Run a login shell in DIRECTORY of the machine NAME, in a real terminal.
See `nixvm-terminal' for the emulator."
  (interactive (nixvm--read-attach "Terminal in"))
  (nixvm--attach name #'nixvm-attach-terminal directory))

;;;###autoload
(defun nixvm-magit (name &optional directory)
  "Open Magit on DIRECTORY of the machine NAME."
  (interactive (nixvm--read-attach "Magit in"))
  (nixvm--attach name #'nixvm-attach-magit directory))

;;;; What can be opened

(defun nixvm-attach-dired (_machine file)
  "Open Dired on FILE."
  (dired file))

(defun nixvm-attach-find-file (_machine file)
  "Ask for a file below FILE and open it."
  (let ((default-directory file))
    (call-interactively #'find-file)))

(defun nixvm-attach-shell (machine file)
  "Run a shell of MACHINE in the directory FILE."
  (let* ((default-directory file)
         ;; bash lies at another place in every distribution, env does not.
         (explicit-shell-file-name "/usr/bin/env")
         (explicit-env-args '("bash" "-i"))
         (buffer (shell (format "*%s shell*" (plist-get machine :name)))))
    (when-let ((process (get-buffer-process buffer)))
      (process-put process 'nixvm-machine (plist-get machine :name)))
    buffer))

(defun nixvm-attach-eshell (machine file)
  "Run Eshell of MACHINE in the directory FILE."
  (require 'eshell)
  (let ((default-directory file)
        (eshell-buffer-name (format "*%s eshell*" (plist-get machine :name))))
    (eshell)))

(defun nixvm-attach-magit (_machine file)
  "Open Magit on FILE."
  (unless (require 'magit-status nil t)
    (user-error "Magit is not installed"))
  (magit-status-setup-buffer file))

(defun nixvm-attach-terminal (machine file)
  "Run a login shell of MACHINE in the directory FILE, in a terminal."
  (nixvm--run-terminal
   machine (format "*%s terminal*" (plist-get machine :name))
   (format "cd %s && exec \"${SHELL:-/bin/sh}\" -l"
           (shell-quote-argument (file-local-name file)))))

;; It is ssh that connects, in the background.
(put 'nixvm-attach-terminal 'nixvm-instant t)

;;;; Terminals

(defconst nixvm--terminal-known
  "infocmp \"$TERM\" >/dev/null 2>&1 || export TERM=screen; "
  "Shell prefix for the guest: few know eterm-color, and tmux requires a terminfo.")

(defun nixvm--run-terminal (machine name command)
  "Run the line COMMAND on MACHINE in a terminal buffer called NAME; return it.
The login shell there reads it.  A buffer of that name whose process lives is
shown instead."
  (let ((buffer (get-buffer name)))
    (unless (and buffer (process-live-p (get-buffer-process buffer)))
      (when buffer (kill-buffer buffer))
      (nixvm--locally
        (let ((argv (list nixvm-ssh-program "-t"
                          (nixvm--host machine)
                          "--" (concat nixvm--terminal-known command))))
          (setq buffer (save-window-excursion (nixvm--terminal name argv)))
          (with-current-buffer buffer
            (setq nixvm--buffer-machine (plist-get machine :name)))
          (when-let ((process (get-buffer-process buffer)))
            (process-put process 'nixvm-machine (plist-get machine :name))
            (set-process-query-on-exit-flag process nil)
            (when (with-current-buffer buffer (derived-mode-p 'term-mode))
              (add-function :after (process-sentinel process)
                            (nixvm--term-ended
                             (lambda (&rest _) (nixvm--run-terminal machine name command)))))))))
    (pop-to-buffer-same-window buffer)
    buffer))

(defun nixvm--term-ended (again)
  "Return a sentinel, to run after that of term, whose buffers call AGAIN on \\`g'.
Term leaves a buffer without a keymap there, which its own function of
`menu-bar-update-hook' takes for an error, time and again."
  (lambda (process _event)
    (let ((buffer (process-buffer process)))
      (when (and (buffer-live-p buffer) (not (process-live-p process)))
        (with-current-buffer buffer
          (use-local-map (make-composed-keymap nil special-mode-map))
          (setq-local revert-buffer-function again)
          (goto-char (point-max))
          (let ((inhibit-read-only t))
            (insert (substitute-command-keys
                     "\nPress \\[revert-buffer] to connect again, \\[quit-window] to leave.\n")))
          (setq buffer-read-only t))))))

(defun nixvm--terminal (name argv)
  "Run ARGV in a terminal buffer called NAME and return the buffer."
  (pcase (if (eq nixvm-terminal 'auto)
             (cond ((featurep 'vterm) 'vterm) ((featurep 'eat) 'eat)
                   ((locate-library "vterm") 'vterm) ((locate-library "eat") 'eat)
                   (t 'term))
           nixvm-terminal)
    ('vterm (require 'vterm)
            (let ((vterm-shell (mapconcat #'shell-quote-argument argv " ")))
              (vterm name)
              (current-buffer)))
    ('eat (require 'eat)
          (nixvm--named (apply #'eat-make (string-trim name "\\*" "\\*") (car argv) nil (cdr argv))
                        name))
    ('term (require 'term)
           (let ((buffer (apply #'make-term (string-trim name "\\*" "\\*")
                                (car argv) nil (cdr argv))))
             (with-current-buffer buffer (term-mode) (term-char-mode))
             (nixvm--named buffer name)))
    ((and function (pred functionp)) (funcall function name argv))
    (other (user-error "`nixvm-terminal' is %S, which is not a terminal emulator" other))))

(defun nixvm--named (buffer name)
  "Rename BUFFER to NAME and return it."
  (with-current-buffer buffer (rename-buffer name))
  buffer)

;;;; Files of machines

(defun nixvm--find-file-hook ()
  "Prepare a buffer that visits a file of a machine."
  (when (and nixvm-auto-revert buffer-file-name
             (member (file-remote-p buffer-file-name 'method)
                     (list nixvm-tramp-method nixvm-tramp-copy-method)))
    (nixvm-auto-revert-mode 1)))

(add-hook 'find-file-hook #'nixvm--find-file-hook)

(provide 'nixvm-attach)
;;; nixvm-attach.el ends here
