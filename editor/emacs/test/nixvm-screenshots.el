;;; nixvm-screenshots.el --- What a user sees, as pictures  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Commentary:

;; Runs in an Emacs with a screen, on the machines of test/e2e: demo is up, api
;; and docs are not.  Each picture is checked for what must be on it.

;;; Code:

(require 'dired)
(require 'nixvm-fake)
(require 'nixvm-transient)

(declare-function x-export-frames "xfns.c" (&optional frames type))

(setq inhibit-startup-screen t
      nixvm-create-file nil
      nixvm-terminal 'term
      nixvm-create-defaults '(:profiles ("claude") :image "trial" :memory "4G" :vcpus 2 :disk "20G"
                                        :network "nat")
      nixvm-agents '(("claude" . "echo 'A stand-in for the agent: it runs in tmux, in the guest.'; uname -a; exec sh"))
      ring-bell-function #'ignore)

(defun nixvm-screenshots--save (name &rest wanted)
  "Save the frame as NAME; the visible text must match all of WANTED."
  (redisplay t)
  (let ((text (mapconcat (lambda (w)
                           (with-current-buffer (window-buffer w)
                             (buffer-substring-no-properties
                              (window-start w) (min (point-max) (window-end w t)))))
                         (window-list nil t (selected-window))
                         "\n")))
    (dolist (regexp wanted)
      (unless (string-match-p regexp text)
        (error "%s does not show %S but: %s" name regexp text))))
  (let ((coding-system-for-write 'binary)
        (file (expand-file-name (concat name ".png") (getenv "NIXVM_SHOTS"))))
    (write-region (x-export-frames nil 'png) nil file nil 'silent)))

(defun nixvm-screenshots--in-minibuffer (name command keys &rest wanted)
  "Save NAME while COMMAND has a question open, after typing KEYS there.
WANTED is as in `nixvm-screenshots--save'."
  (let (problem done)
    (run-at-time 0.5 nil
                 (lambda ()
                   (condition-case err
                       (progn
                         (dolist (k keys)
                           (if (functionp k) (call-interactively k) (insert k)))
                         (apply #'nixvm-screenshots--save name wanted))
                     (error (setq problem err)))
                   (setq done t)
                   (abort-recursive-edit)))
    (condition-case nil (call-interactively command) (quit nil))
    (unless done (error "%s asked nothing" name))
    (when problem (signal (car problem) (cdr problem)))))

(defun nixvm-screenshots--list ()
  "The list, with marks and an operation."
  (nixvm)
  (nixvm-fake-wait (nixvm-machine "docs") 60)
  (with-current-buffer nixvm-list-buffer
    (nixvm--list-print)
    (goto-char (point-min))
    (nixvm-list-mark)
    (nixvm-start "docs")
    (nixvm-fake-wait (let ((op (nixvm--operation-of (nixvm-machine "docs"))))
                       (equal (plist-get op :step) "ready"))
                     120)
    (nixvm--list-print)
    (nixvm-screenshots--save "list" "\\* api +stopped" "demo +running" "docs +start")))

(defun nixvm-screenshots--menu ()
  "The menu of ?."
  (with-current-buffer nixvm-list-buffer
    (goto-char (point-min))
    (search-forward "demo")
    (nixvm-list-unmark-all)
    (call-interactively #'nixvm-menu)
    (nixvm-screenshots--save "menu" "Run agent" "Restore" "Suspend")
    (transient-quit-all)
    ;; The one that boots for the pictures has done its part.
    (if-let ((op (nixvm--operation-of (nixvm-machine "docs"))))
        (nixvm-cancel (plist-get op :id))
      (nixvm-kill "docs"))
    (nixvm-fake-wait (and (null (nixvm--operation-of (nixvm-machine "docs")))
                          (nixvm--can-p "start" (nixvm-machine "docs")))
                     120)))

(defun nixvm-screenshots--create ()
  "The questions of create: the profiles."
  (nixvm-screenshots--in-minibuffer
   "create"
   (lambda ()
     (interactive)
     (nixvm--read-profiles '("claude")))
   (list (lambda () (interactive) (delete-minibuffer-contents))
         "claude,"
         #'minibuffer-completion-help)
   "Profiles, separated by commas" "docker" "Docker"))

(defun nixvm-screenshots--attached ()
  "A project: Dired, a file, and the agent."
  (let (attached agent)
    (let ((nixvm-after-attach-functions (list (lambda (_) (setq attached t)))))
      (delete-other-windows)
      (nixvm-attach "demo" "/home/user/project")
      (nixvm-fake-wait attached 120))
    (switch-to-buffer (dired-noselect "/nixvm:demo:/home/user/project/"))
    (delete-other-windows)
    (dired-hide-details-mode 1)
    (split-window-right 34)
    (other-window 1)
    (find-file "/nixvm:demo:/home/user/project/main.py")
    (when (= (buffer-size) 0)
      (insert "def greet(name: str) -> str:\n    \"\"\"Say hello in the guest.\"\"\"\n    return f\"Hello, {name}!\"\n\n\nprint(greet(\"nixvm\"))\n")
      (save-buffer))
    (goto-char (point-min))
    (split-window-below 14)
    (other-window 1)
    (let ((nixvm-agent-functions (list (lambda (_m _a b) (setq agent b)))))
      (nixvm-run-agent "demo" "claude" "/home/user/project")
      (nixvm-fake-wait agent 120)
      (with-current-buffer agent
        (nixvm-fake-wait (string-match-p "Linux demo[^$]*\\$ " (buffer-string)) 120)))
    (dolist (w (window-list))
      (with-current-buffer (window-buffer w)
        (when (derived-mode-p 'dired-mode) (revert-buffer))))
    (message nil)
    (nixvm-screenshots--save "attached" "main\\.py" "def greet" "Linux demo")))

(defun nixvm-screenshots--doctor ()
  "The doctor's findings."
  (delete-other-windows)
  (nixvm-doctor)
  (nixvm-fake-wait (with-current-buffer "*nixvm doctor*"
                     (not (string-match-p "Checking" (buffer-string))))
                   120)
  (delete-other-windows (get-buffer-window "*nixvm doctor*"))
  (nixvm-screenshots--save "doctor" "checks again\\|No problems found"))

(defun nixvm-screenshots ()
  "Save all pictures and end Emacs; the exit status says whether all is well."
  (let ((status 1))
    (unwind-protect
        (condition-case err
            (progn
              (set-frame-font "DejaVu Sans Mono-11" nil t)
              (set-frame-size nil 128 30)
              (modify-frame-parameters nil '((tool-bar-lines . 0) (menu-bar-lines . 0)
                                         (vertical-scroll-bars)))
              (redisplay t)
              (nixvm-screenshots--list)
              (nixvm-screenshots--create)
              (nixvm-screenshots--menu)
              (nixvm-screenshots--attached)
              (nixvm-screenshots--doctor)
              (setq status 0))
          (error
           (write-region (format "screenshots: %S\n" err) nil
                         (expand-file-name "shots.log" (getenv "NIXVM_E2E")))))
      (nixvm-disconnect)
      (dolist (p (process-list)) (set-process-query-on-exit-flag p nil))
      (kill-emacs status))))

(run-at-time 1 nil #'nixvm-screenshots)

(provide 'nixvm-screenshots)
;;; nixvm-screenshots.el ends here
