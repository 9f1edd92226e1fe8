;;; nixvm-backup.el --- Backups of machines  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; Archives of machines: `nixvm-backup' takes one, `nixvm-restore-backup' restores one,
;; `nixvm-backups' lists them.  `nixvm-export' writes one elsewhere, and `nixvm-import'
;; creates a machine from one.

;;; Code:

(require 'nixvm)
(require 'nixvm-table)

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
(defun nixvm-export (name directory &optional identity)
  "Write the machine NAME as an archive to DIRECTORY; it may be running.
`nixvm-import' creates a machine from it, also on another host.  With a prefix
argument (non-nil IDENTITY), include its SSH host key and the password of root:
keep such an archive secret."
  (interactive (let ((name (nixvm--target "Export" "backup")))
                 (list name (read-directory-name (format "Export %s to the directory: " name) "~/" nil t)
                       current-prefix-arg)))
  (nixvm--begin "nixvm/backup/create"
                (append (list :name name :to (nixvm--local-path directory)) (when identity (list :withIdentity t)))
                (format "Export %s" name)
                (lambda (result)
                  (message "%s has been exported: %s" name
                           (plist-get (plist-get result :operation) :backup)))))

;;;###autoload
(defun nixvm-restore-backup (name backup)
  "Restore the disk of the machine NAME from BACKUP, the id of one.
Later changes are removed from its disk; a safety snapshot keeps them."
  (interactive
   (let* ((name (nixvm--target "Restore from a backup" "restore-backup"))
          (backup (nixvm--read-backup name)))
     (nixvm--confirm-backup name backup)
     (list name (plist-get backup :id))))
  (nixvm--restore name backup t))

(defun nixvm--confirm-backup (name backup)
  "Ask whether to replace the disk of the machine NAME by BACKUP."
  (unless (yes-or-no-p
           (format "Restore %s to the backup of %s?  Later changes are removed from its disk; a safety snapshot is taken first.  Continue? "
                   name (nixvm--when (plist-get backup :created))))
    (keyboard-quit)))

(defun nixvm--restore (name backup replaces &optional confirm)
  "Restore BACKUP, an id or a file, as the machine NAME.
REPLACES if that has a VM, else one is made.  CONFIRM if the request must repeat
the name."
  (nixvm--begin "nixvm/backup/restore"
                (append (list :name name :backup backup)
                        (when (or replaces confirm) (list :confirm name)))
                (format (if replaces "Restore %s to %s" "Create %s from %s") name
                        (file-name-nondirectory backup))
                (if (not replaces) (apply-partially #'nixvm--created name)
                  (lambda (result)
                    (message "%s has been restored to %s%s" name backup
                             (if-let ((safety (plist-get (plist-get result :operation) :safety)))
                                 (format "; the previous content is in the snapshot %s" safety)
                               ""))))))

;;;; Import

(defun nixvm--inspect (backup &optional name)
  "What is in BACKUP, an id or a file, and what restoring it as NAME would do."
  (nixvm--call "nixvm/backup/inspect" (append (list :backup backup) (when name (list :name name)))))

(defun nixvm--read-import-name (backup default)
  "Ask for the name of the machine to create from BACKUP, with DEFAULT.
Return what the daemon says of that."
  (let (typed complaint seen)
    (while (not seen)
      (setq typed (nixvm--read-text "Name of the machine" default typed complaint)
            seen (condition-case err
                     (nixvm--inspect backup typed)
                   (user-error (setq complaint (error-message-string err)) nil)))
      (when (and seen (nixvm--true (plist-get seen :replaces)))
        (setq seen nil complaint (format "The machine %s has a VM: choose another name" typed))))
    seen))

(defun nixvm--confirm-import (seen)
  "Ask whether to import an archive; SEEN is its content.
Show its settings that reach beyond the VM."
  (let ((name (plist-get seen :name)))
    (when (nixvm--true (plist-get seen :confirm))
      (with-temp-buffer-window "*nixvm import*" nil nil
        (princ (format "%s was not made on this computer.  These settings come from it:\n\n"
                       (plist-get (plist-get seen :backup) :file)))
        (mapc (lambda (setting)
                (princ (format "%-24s%s\n" (plist-get setting :file)
                               (string-replace "\n" (concat "\n" (make-string 24 ?\s))
                                               (plist-get setting :text)))))
              (plist-get seen :settings)))
      (unwind-protect
          (nixvm--confirm-by-name name (format "The archive becomes the machine %s, with the settings shown." name))
        (when-let ((window (get-buffer-window "*nixvm import*"))) (quit-window t window))))))

;;;###autoload
(defun nixvm-import (backup name &optional confirm)
  "Create the machine NAME and its VM from BACKUP, a file or the id of a backup.
Settings that reach beyond the VM are shown first, if the archive was not made
here; CONFIRM if they are right."
  (interactive
   (progn
     (nixvm--ensure)
     (nixvm--need-method "nixvm/backup/inspect")
     (nixvm--import-args (nixvm--local-path (read-file-name "Archive: " nil nil t)))))
  (nixvm--restore name backup nil confirm))

(defun nixvm--import-args (backup)
  "Ask for the rest of the arguments of `nixvm-import' for BACKUP; return all."
  (let ((seen (nixvm--read-import-name
               backup (nixvm--free-name (plist-get (plist-get (nixvm--inspect backup) :backup) :machine)))))
    (nixvm--confirm-import seen)
    (list backup (plist-get seen :name) (nixvm--true (plist-get seen :confirm)))))

;;;; The list

(defvar nixvm-backups-mode-map
  (let ((map (make-sparse-keymap)))
    (set-keymap-parent map tabulated-list-mode-map)
    (define-key map "r" #'nixvm-backups-restore)
    (define-key map "c" #'nixvm-backups-create)
    (define-key map "[" #'nixvm-import)
    (define-key map "w" #'nixvm-backups-copy-file)
    map)
  "Keymap of `nixvm-backups-mode'.")

(define-derived-mode nixvm-backups-mode tabulated-list-mode "nixvm backups"
  "The backups that nixvmd has of machines, some of which may be gone.
\\<nixvm-backups-mode-map>Restore one with \\[nixvm-backups-restore], and \
create another machine from it with \\[nixvm-backups-create].

\\{nixvm-backups-mode-map}"
  :interactive nil
  (nixvm--table-init [("Machine" 18 t) ("Taken" 17 t) ("Size" 9 nixvm--table-smaller-p)
                      ("Notes" 28 t) ("Backup" 30 t)]
                     '("Taken" . t)
                     :method "nixvm/backup/list" :field :backups :entry #'nixvm--backup-entry
                     :then #'nixvm--tell-no-backups))

(defun nixvm--tell-no-backups (result)
  "Say how to make a backup if RESULT has none."
  (when (seq-empty-p (plist-get result :backups))
    (message "%s" (substitute-command-keys "There are no backups; \\[nixvm-backup] makes one"))))

(defun nixvm--backup-entry (backup)
  "The row of BACKUP."
  (list backup
        (vector (or (plist-get backup :machine) "")
                (nixvm--table-time (plist-get backup :created))
                (file-size-human-readable (or (plist-get backup :bytes) 0) 'iec)
                (cond ((plist-get backup :problem)
                       (propertize (or (plist-get (plist-get backup :problem) :message) "unreadable")
                                   'face 'nixvm-broken))
                      (t (string-join
                          (delq nil (list (unless (nixvm--true (plist-get backup :consistent)) "crash-consistent")
                                          (when (nixvm--true (plist-get backup :identity)) "with identity")))
                          ", ")))
                (or (plist-get backup :id) (plist-get backup :file)))))

;;;###autoload
(defun nixvm-backups ()
  "Show the backups of all machines."
  (interactive)
  (nixvm--ensure)
  (nixvm--need-method "nixvm/backup/list")
  (nixvm--table-show "*nixvm backups*" #'nixvm-backups-mode))

(defun nixvm-backups-restore ()
  "Restore the machine of the backup at point; create it if it has no VM."
  (interactive nil nixvm-backups-mode)
  (let* ((backup (nixvm--table-row "backup"))
         (id (plist-get backup :id))
         (seen (nixvm--inspect id))
         (replaces (nixvm--true (plist-get seen :replaces))))
    (if replaces (nixvm--confirm-backup (plist-get seen :name) backup)
      (unless (y-or-n-p (format "Create %s from this backup? " (plist-get seen :name)))
        (keyboard-quit)))
    (nixvm--restore (plist-get seen :name) id replaces (nixvm--true (plist-get seen :confirm)))))

(defun nixvm-backups-create ()
  "Create another machine from the backup at point."
  (interactive nil nixvm-backups-mode)
  (apply #'nixvm-import (nixvm--import-args (plist-get (nixvm--table-row "backup") :id))))

(defun nixvm-backups-copy-file ()
  "Copy the file name of the backup at point."
  (interactive nil nixvm-backups-mode)
  (let ((file (plist-get (nixvm--table-row "backup") :file)))
    (kill-new file)
    (message "Copied: %s" file)))

(provide 'nixvm-backup)
;;; nixvm-backup.el ends here
