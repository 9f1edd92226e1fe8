;;; nixvm-tramp-away.el --- Files of machines that go away  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; A machine that goes away must not take Emacs with it.  When one stops,
;; reboots, suspends or is restored, its connections are forgotten without a
;; word to the guest, and its buffers say so.  While it is up, what an agent
;; changes in it is shown as it changes.

;;; Code:

(require 'nixvm-tramp)

(defvar auto-revert-use-notify)
(defvar auto-revert-mode-text)
(defvar auto-revert-remote-files)
(defvar remote-file-name-inhibit-locks)

(defvar nixvm-disconnect-functions nil
  "Functions called with a machine and why its connections have been forgotten.")

;;;; When a machine goes away

(defun nixvm-tramp-forget (machine)
  "Forget all connections to MACHINE and end their processes.
The guest is asked nothing.  Return how many there were."
  (let ((default-directory temporary-file-directory)
        (hosts (nixvm--hosts machine))
        ;; Files that were visited lately are still worth remembering: from
        ;; Emacs 30 on TRAMP drops them when it cleans up.
        (tramp-cleanup-connection-hook
         (remq 'tramp-recentf-cleanup tramp-cleanup-connection-hook))
        (count 0))
    (mapc #'nixvm--forget-host hosts)
    (dolist (process (process-list))
      (let ((vec (or (process-get process 'tramp-vector) ; Emacs 29 and later
                     (process-get process 'vector))))
        (when (or (equal (process-get process 'nixvm-machine) (plist-get machine :name))
                  (and (tramp-file-name-p vec) (nixvm-tramp--of-hosts-p vec hosts)))
          (cl-incf count)
          (delete-process process))))
    (dolist (vec (tramp-list-connections))
      (when (nixvm-tramp--of-hosts-p vec hosts)
        (tramp-cleanup-connection vec t t)))
    count))

(defun nixvm-tramp--of-hosts-p (vec hosts)
  "Whether VEC leads to or through one of HOSTS."
  (pcase-let ((`(,method ,host . ,_) (nixvm-tramp--entrance vec)))
    (and (member method (list nixvm-tramp-method nixvm-tramp-copy-method "ssh" "scp"))
         (member host hosts))))

(defun nixvm-tramp--buffers (machine)
  "The buffers of the user whose directory, or terminal, lies in MACHINE."
  (let ((hosts (nixvm--hosts machine)))
    (cl-remove-if-not
     (lambda (buffer)
       (let ((dir (buffer-local-value 'default-directory buffer)))
         (or (equal (buffer-local-value 'nixvm--buffer-machine buffer) (plist-get machine :name))
             (and (not (string-match-p "\\` \\|\\`\\*\\(?:debug \\)?tramp/" (buffer-name buffer)))
                  (stringp dir) (file-remote-p dir)
                  (nixvm-tramp--of-hosts-p (tramp-dissect-file-name dir) hosts)))))
     (buffer-list))))

(defvar-local nixvm-tramp--away nil
  "Why the machine of the buffer is away, for the mode line; nil if it is not.")

(add-to-list 'minor-mode-alist '(nixvm-tramp--away nixvm-tramp--away))

(defun nixvm-tramp--disrupted (machine kind)
  "Forget the connections of MACHINE because of KIND, which ends them."
  (let* ((count (nixvm-tramp-forget machine))
         (buffers (nixvm-tramp--buffers machine))
         (away (propertize (format " [%s %s]" (plist-get machine :name)
                                   (nixvm-tramp--happening kind))
                           'face 'nixvm-stopped))
         (news (cl-remove away buffers :test #'equal
                          :key (lambda (b) (buffer-local-value 'nixvm-tramp--away b)))))
    (dolist (buffer buffers)
      (with-current-buffer buffer
        ;; Killing a changed buffer would remove its lock file in the guest,
        ;; and wait for it.
        (when buffer-file-name
          (setq-local remote-file-name-inhibit-locks t))
        (setq nixvm-tramp--away away)))
    (force-mode-line-update t)
    (when (or news (> count 0))
      (message "%s" (nixvm-tramp--farewell machine kind buffers)))
    (run-hook-with-args 'nixvm-disconnect-functions machine kind)))

(defun nixvm-tramp--farewell (machine kind buffers)
  "What to tell the user of MACHINE when KIND happens to it and BUFFERS visit it."
  (let ((unsaved (cl-count-if (lambda (b) (and (buffer-file-name b) (buffer-modified-p b)))
                              buffers)))
    (format "%s %s: its connections are closed%s%s"
            (plist-get machine :name) (nixvm-tramp--happening kind)
            (if buffers (format "; %d buffer%s stay%s" (length buffers)
                                (if (cdr buffers) "s" "") (if (cdr buffers) "" "s"))
              "")
            (if (> unsaved 0) (format ", %d of them unsaved" unsaved) ""))))

(defun nixvm-tramp--happening (kind)
  "Words for KIND, which is what happens to a machine."
  (pcase kind
    ((or "stop" "kill") "is being stopped")
    ("reboot" "is rebooting")
    ("suspend" "is being suspended")
    ((or "destroy" "purge") "is being destroyed")
    ((or "restore-snapshot" "restore-backup") "is being restored")
    ("gone" "is gone")
    (_ (format "is %s" kind))))

(defun nixvm-tramp--back (_name old new)
  "Undo what was set when the machine went away: OLD was away and NEW is ready."
  (when (and new (equal (nixvm--state new) "running")
             (not (and old (equal (nixvm--state old) "running"))))
    (dolist (buffer (nixvm-tramp--buffers new))
      (with-current-buffer buffer
        (cond ((not buffer-file-name))
              ((buffer-modified-p) (add-hook 'after-save-hook #'nixvm-tramp--unlock nil t))
              (t (nixvm-tramp--unlock)))
        (setq nixvm-tramp--away nil)))
    (force-mode-line-update t)))

(defun nixvm-tramp--unlock ()
  "Use locks again, and remove the one that is left from before the interruption.
It names a process of the guest that is gone, so that TRAMP would mistake it for
the lock of another user, and ask."
  (remove-hook 'after-save-hook #'nixvm-tramp--unlock t)
  (kill-local-variable 'remote-file-name-inhibit-locks)
  (when (file-remote-p default-directory nil t)
    (ignore-errors
      (when-let ((lock (make-lock-file-name buffer-file-name)))
        (delete-file lock)))))

(add-hook 'nixvm--disruption-functions #'nixvm-tramp--disrupted)
(add-hook 'nixvm-change-functions #'nixvm-tramp--back)

;;;; Files that others change

(defvar nixvm-tramp--reverting t "Nil while files are not to be looked at.")

(defun nixvm-tramp--idle-p ()
  "Whether the connection of the current buffer is up and TRAMP does not use it.
A timer that runs while TRAMP waits must not talk to the same guest."
  (when-let (((file-remote-p default-directory nil t))
             (process (tramp-get-connection-process (tramp-dissect-file-name default-directory))))
    (and (process-live-p process)
         (not (tramp-get-connection-property process "locked" nil)))))

(defun nixvm-tramp--stale-p (&optional _noconfirm)
  "Whether the visited file has changed.
For `buffer-stale-function'.  Only a buffer that is shown is looked after, with
one question over a connection that is up and idle."
  (when-let ((nixvm-tramp--reverting)
             (buffer-file-name)
             ((not (buffer-modified-p)))
             ((get-buffer-window nil t))
             (machine (nixvm-current-machine))
             ((equal (nixvm--state machine) "running"))
             ((nixvm-tramp--idle-p)))
    (let ((non-essential t))
      (ignore-error file-error
        (and (not (verify-visited-file-modtime (current-buffer)))
             (file-readable-p buffer-file-name))))))

;;;###autoload
(define-minor-mode nixvm-auto-revert-mode
  "Show what an agent changes in the visited file of a machine, as it happens.
Unlike `auto-revert-mode' alone this never opens a connection, never starts a
machine, and asks only for buffers that are shown."
  :lighter " VMRev"
  :group 'nixvm
  (if (not nixvm-auto-revert-mode)
      (progn (auto-revert-mode -1)
             (kill-local-variable 'auto-revert-mode-text)
             (kill-local-variable 'buffer-stale-function))
    (setq-local auto-revert-use-notify nil
                auto-revert-mode-text nil ; ours says it
                auto-revert-remote-files t
                buffer-stale-function #'nixvm-tramp--stale-p)
    ;; It has just been read.
    (let (nixvm-tramp--reverting) (auto-revert-mode 1))))

(provide 'nixvm-tramp-away)
;;; nixvm-tramp-away.el ends here
