;;; nixvm-transient.el --- The menu of nixvm  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; The menu that ? shows in the list of machines.  It has only what the daemon
;; and the backend of the machine at point can do.

;;; Code:

(require 'nixvm)
(require 'transient)

(defun nixvm-transient--title ()
  "What the menu is about."
  (let ((targets (or (nixvm--list-targets)
                     (when-let ((m (nixvm-current-machine))) (list (plist-get m :name))))))
    (concat (propertize "Machine" 'face 'transient-heading)
            (and targets
                 (concat " " (propertize (string-join targets ", ") 'face 'transient-value))))))

(defun nixvm-transient--machine ()
  "The machine that the menu is about, or nil."
  (or (nixvm-machine (nixvm--name-at-point)) (nixvm-current-machine)))

(defun nixvm-transient--p (key)
  "Whether the verb KEY can be done now with a machine that the menu is about."
  (if-let ((machines (or (mapcar #'nixvm-machine (nixvm--list-targets))
                         (when-let ((m (nixvm-current-machine))) (list m)))))
      (cl-some (lambda (m) (nixvm--offered-p key m)) machines)
    (nixvm--offered-p key)))

(defun nixvm-transient--pending-p ()
  "Whether the machine has settings that its VM does not have yet."
  (nixvm--pending (nixvm-transient--machine)))

(defun nixvm-transient--clone-p ()
  "Whether a machine can be cloned, be it after it has been shut down."
  (if-let ((machine (nixvm-transient--machine)))
      (nixvm--clonable-p machine)
    (nixvm--offered-p "clone")))

(defun nixvm-transient--autostart ()
  "What `nixvm-autostart' would do."
  (if (nixvm--autostart-p (nixvm-transient--machine)) "Autostart off" "Autostart on"))

(defun nixvm-transient--magit-p ()
  "Whether Magit is installed."
  (locate-library "magit-status"))

(defun nixvm-transient--others-p ()
  "Whether the daemon has operations without a command of their own."
  (nixvm--other-verbs (nixvm-transient--machine)))

(defun nixvm-transient--list-p ()
  "Whether the current buffer is a list of machines."
  (derived-mode-p 'nixvm-list-mode))

;;;###autoload (autoload 'nixvm-menu "nixvm-transient" "Show the actions on machines." t)
(transient-define-prefix nixvm-menu ()
  "Show the actions on machines."
  [:description
   nixvm-transient--title
   ["Open"
    ("RET" "Attach" nixvm-attach)
    ("j" "Dired" nixvm-dired)
    ("f" "Find file" nixvm-find-file)
    ("!" "Shell" nixvm-shell)
    ("e" "Eshell" nixvm-eshell)
    ("v" "Terminal" nixvm-terminal)
    ("G" "Magit" nixvm-magit :if nixvm-transient--magit-p)
    ("a" "Run agent" nixvm-run-agent)
    ("," "Pull branch" nixvm-pull :if (lambda () (nixvm-transient--p "pull")))]
   ["Power"
    ("s" "Start" nixvm-start :if (lambda () (nixvm-transient--p "start")))
    ("S" "Stop" nixvm-stop :if (lambda () (nixvm-transient--p "stop")))
    ("b" "Reboot" nixvm-reboot :if (lambda () (nixvm-transient--p "reboot")))
    ("z" "Suspend" nixvm-suspend :if (lambda () (nixvm-transient--p "suspend")))
    ("Z" "Resume" nixvm-resume :if (lambda () (nixvm-transient--p "resume")))
    ("K" "Kill" nixvm-kill :if (lambda () (nixvm-transient--p "kill")))
    ("k" "Cancel operation" nixvm-cancel)
    ("E" "Resolve operation" nixvm-resolve :if nixvm--unresolved)]
   ["Snapshots, backups"
    ("t" "Take" nixvm-snapshot :if (lambda () (nixvm-transient--p "snapshot")))
    ("r" "Restore" nixvm-restore :if (lambda () (nixvm-transient--p "restore-snapshot")))
    ("T" "Delete" nixvm-delete-snapshot
     :if (lambda () (nixvm-transient--p "delete-snapshot")))
    ("H" "Back up" nixvm-backup :if (lambda () (nixvm-transient--p "backup")))
    ("J" "Restore backup" nixvm-restore-backup
     :if (lambda () (nixvm-transient--p "restore-backup")))
    ("L" "Backups" nixvm-backups :if (lambda () (nixvm--method-p "nixvm/backup/list")))
    ("]" "Export" nixvm-export :if (lambda () (nixvm-transient--p "backup")))
    ("[" "Import" nixvm-import :if (lambda () (nixvm--method-p "nixvm/backup/inspect")))]
   ["Machine"
    ("c" "Create" nixvm-create)
    ("V" "Declare" nixvm-declare)
    ("@" "Adopt" nixvm-adopt :if (lambda () (nixvm--method-p "nixvm/adopt/list")))
    ("y" "Clone" nixvm-clone :if (lambda () (nixvm-transient--clone-p)))
    ("M" "Migrate" nixvm-migrate :if (lambda () (nixvm-transient--p "migrate")))
    ("^" "Upgrade" nixvm-upgrade :if (lambda () (nixvm-transient--p "upgrade")))
    ("%" "Preview upgrade" nixvm-upgrade-preview :if (lambda () (nixvm-transient--p "upgrade")))
    ("*" "Upgrade all" nixvm-upgrade-all :if (lambda () (nixvm--offered-p "upgrade")))
    ("~" "Roll back" nixvm-rollback :if (lambda () (nixvm-transient--p "rollback")))
    ("A" nixvm-autostart :description nixvm-transient--autostart
     :if (lambda () (nixvm-transient--p "autostart")))
    ("=" "Configure" nixvm-configure :if (lambda () (nixvm-transient--p "configure")))
    ("Y" "Apply pending" nixvm-apply :if nixvm-transient--pending-p)
    ("p" "Root password" nixvm-passwd :if (lambda () (nixvm-transient--p "passwd")))
    ("O" "Mode" nixvm-set-mode :if (lambda () (nixvm-transient--p "configure")))
    ("W" "Recreate" nixvm-recreate :if (lambda () (nixvm-transient--p "recreate")))
    ("N" "Rename" nixvm-rename :if (lambda () (nixvm-transient--p "rename")))
    ("D" "Destroy" nixvm-destroy :if (lambda () (nixvm-transient--p "destroy")))
    ("P" "Purge" nixvm-purge :if (lambda () (nixvm-transient--p "purge")))
    ("x" "Other operation" nixvm-operation :if nixvm-transient--others-p)]]
  [["Network"
    ("F" "Add forward" nixvm-forward-add :if (lambda () (nixvm-transient--p "forward")))
    ("R" "Remove forward" nixvm-forward-remove
     :if (lambda () (nixvm-transient--p "forward")))
    ("&" "Share" nixvm-share :if (lambda () (nixvm-transient--p "share")))]
   ["Images"
    ("I" "List" nixvm-images :if (lambda () (nixvm--method-p "nixvm/image/list")))
    ("B" "Build" nixvm-image-build :if (lambda () (nixvm--method-p "nixvm/image/build")))
    ("X" "Remove unused" nixvm-image-gc :if (lambda () (nixvm--method-p "nixvm/image/gc")))]
   ["Look"
    ("i" "Details" nixvm-list-describe :if nixvm-transient--list-p)
    ("C" "Console" nixvm-console :if (lambda () (nixvm-transient--p "console")))
    ("l" "Log" nixvm-log)
    ("d" "Doctor" nixvm-doctor :if (lambda () (nixvm--method-p "nixvm/doctor")))
    ("M-f" "Fast TRAMP" nixvm-tramp-fast)]])

(provide 'nixvm-transient)
;;; nixvm-transient.el ends here
