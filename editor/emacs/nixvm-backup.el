;;; nixvm-backup.el --- Backups of machines  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; Archives of machines: `nixvm-backup' takes one, `nixvm-restore-backup' restores one.

;;; Code:

(require 'nixvm)

(defun nixvm--backups (name)
  "The readable backups of the machine NAME, newest first."
  (reverse (cl-remove-if (lambda (b) (plist-get b :problem))
                         (append (plist-get (nixvm--call "nixvm/backup/list" (list :name name))
                                            :backups)
                                 nil))))

(defun nixvm--backup-note (backup)
  "What to tell of BACKUP beside its name."
  (concat "  " (nixvm--when (plist-get backup :created))
          "  " (file-size-human-readable (or (plist-get backup :bytes) 0) 'iec)
          (if (nixvm--true (plist-get backup :consistent)) "" "  crash-consistent")
          (if (nixvm--true (plist-get backup :identity)) "  with identity" "")))

(defun nixvm--read-backup (name)
  "Ask for a backup of the machine NAME; return it, a plist."
  (let* ((backups (or (nixvm--backups name)
                      (user-error "%s" (substitute-command-keys
                                        (format "%s has no backups; \\[nixvm-backup] makes one"
                                                name)))))
         (ids (mapcar (lambda (b) (plist-get b :id)) backups))
         (find (lambda (id) (cl-find id backups :key (lambda (b) (plist-get b :id)) :test #'equal)))
         (completion-extra-properties
          (list :annotation-function
                (lambda (id) (when-let ((b (funcall find id))) (nixvm--backup-note b)))
                :display-sort-function #'identity)))
    (funcall find (completing-read (format-prompt "Restore %s to the backup" (car ids) name)
                                   ids nil t nil nil (car ids)))))

;;;###autoload
(defun nixvm-backup (name &optional identity)
  "Back up the machine NAME; it may be running.
With a prefix argument (non-nil IDENTITY), include its SSH host key and the
password of root: keep such a backup secret."
  (interactive (list (nixvm--target "Back up" "backup") current-prefix-arg))
  (nixvm--begin "nixvm/backup/create"
                (append (list :name name) (when identity (list :withIdentity t)))
                (format "Back up %s" name)
                (lambda (result)
                  (message "%s is backed up: %s" name
                           (plist-get (plist-get result :operation) :backup)))))

;;;###autoload
(defun nixvm-restore-backup (name backup)
  "Restore the disk of the machine NAME from BACKUP, the id of one.
Later changes are removed from its disk; a safety snapshot keeps them."
  (interactive
   (let* ((name (nixvm--target "Restore from a backup" "restore-backup"))
          (backup (nixvm--read-backup name)))
     (unless (yes-or-no-p
              (format "Restore %s to the backup of %s?  Later changes are removed from its disk; a safety snapshot is taken first.  Continue? "
                      name (nixvm--when (plist-get backup :created))))
       (keyboard-quit))
     (list name (plist-get backup :id))))
  (nixvm--begin "nixvm/backup/restore" (list :name name :backup backup :confirm name)
                (format "Restore %s to %s" name backup)
                (lambda (result)
                  (message "%s has been restored to %s%s" name backup
                           (if-let ((safety (plist-get (plist-get result :operation) :safety)))
                               (format "; the previous content is in the snapshot %s" safety)
                             "")))))

(provide 'nixvm-backup)
;;; nixvm-backup.el ends here
