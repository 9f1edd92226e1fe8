;;; nixvm-adopt.el --- Take over VMs of nixos-vm-template  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; `nixvm-adopt' lists the machines of a directory of nixos-vm-template, and takes
;; one over: its settings, its identity and a copy of its disk.

;;; Code:

(require 'nixvm)
(require 'nixvm-table)

(defvar-local nixvm--adopt-config nil "The part of config.toml that the .env file means.")

(defvar nixvm-adopt-mode-map
  (let ((map (make-sparse-keymap)))
    (set-keymap-parent map tabulated-list-mode-map)
    (define-key map (kbd "RET") #'nixvm-adopt-take)
    (define-key map "w" #'nixvm-adopt-copy-config)
    map)
  "Keymap of `nixvm-adopt-mode'.")

(define-derived-mode nixvm-adopt-mode tabulated-list-mode "nixvm adopt"
  "The machines of a directory of nixos-vm-template.
\\<nixvm-adopt-mode-map>\\[nixvm-adopt-take] takes the machine at point over, and \
\\[nixvm-adopt-copy-config] copies
what the .env file means as a part of config.toml.

\\{nixvm-adopt-mode-map}"
  :interactive nil
  (nixvm--table-init [("Machine" 28 t) ("Profiles" 24 t) ("Mode" 13 t) ("Disk" 9 t) ("State" 40 t)]
                     '("Machine")
                     :method "nixvm/adopt/list" :field :machines :entry #'nixvm--adopt-entry
                     :then #'nixvm--adopt-listed))

(defun nixvm--adopt-entry (found)
  "The row of FOUND, a machine."
  (list found
        (vector (plist-get found :id)
                (string-join (plist-get found :profiles) ",")
                (or (plist-get found :mode) "")
                (nixvm--adopt-size found)
                (cond ((nixvm--true (plist-get found :adopted)) (propertize "taken over" 'face 'shadow))
                      ((plist-get found :problem)
                       (propertize (nixvm--error-text (plist-get found :problem)) 'face 'nixvm-broken))
                      (t "can be taken over")))))

(defun nixvm--adopt-size (found)
  "The size of the disk of FOUND, or an empty string."
  (if-let ((bytes (plist-get found :diskBytes))) (nixvm--size (/ bytes 1048576)) ""))

(defun nixvm--adopt-listed (result)
  "Keep the configuration in RESULT, and say that there is one."
  (when (setq nixvm--adopt-config (plist-get result :config))
    (message "%s" (substitute-command-keys
                   "\\<nixvm-adopt-mode-map>\\[nixvm-adopt-copy-config] copies what the .env file means as a part of config.toml"))))

;;;###autoload
(defun nixvm-adopt (directory)
  "List the machines of nixos-vm-template in DIRECTORY.
It is a checkout of it, or its directory in ~/.config, where nothing is changed.
\\<nixvm-adopt-mode-map>\\[nixvm-adopt-take] takes over the machine at point."
  (interactive (progn (nixvm--ensure)
                      (nixvm--need-method "nixvm/adopt/list")
                      (list (read-directory-name "Directory of nixos-vm-template: " nil nil t))))
  (nixvm--table-show "*nixvm adopt*" #'nixvm-adopt-mode
                     :params (list :directory (nixvm--local-path directory))))

(defun nixvm-adopt-take (found name backend image)
  "Take over FOUND, the machine at point, as the machine NAME.
What comes with it is shown first.  With a prefix argument ask for the BACKEND
and the kind of IMAGE, which is a NixOS image otherwise."
  (interactive
   (let ((found (nixvm--table-row "machine")))
     (when (nixvm--true (plist-get found :adopted))
       (user-error "%s has been taken over already" (plist-get found :name)))
     (when-let ((problem (plist-get found :problem)))
       ;; A name that cannot be used can be replaced; all else has to be mended there.
       (unless (equal (plist-get problem :code) "machine.name_invalid") (nixvm--signal problem)))
     (let* ((name (nixvm--ask-name-of found))
            (backend (and current-prefix-arg (nixvm--read-backend nil)))
            (image (and current-prefix-arg (nixvm--read-image "nixos"))))
       (unless (yes-or-no-p (nixvm--adopt-question found name)) (keyboard-quit))
       (list found name backend image)))
   nixvm-adopt-mode)
  (let ((buffer (current-buffer)))
    (nixvm--begin "nixvm/adopt/take"
                  (nixvm--given
                   (list :directory (plist-get (plist-get nixvm--table-source :params) :directory)
                         :id (plist-get found :id) :name name :backend backend :image image))
                  (format "Take over %s" name)
                  (lambda (result)
                    (when (buffer-live-p buffer) (with-current-buffer buffer (nixvm--table-revert)))
                    (nixvm--created name result)))))

(defun nixvm--ask-name-of (found)
  "Ask for the name that FOUND, a machine, gets."
  (nixvm--ask "create" nil :name
              (apply-partially #'nixvm--read-text "Name of the machine" (plist-get found :name))))

(defun nixvm--adopt-question (found name)
  "The question before FOUND becomes the machine NAME."
  (format "%s (%s, %s) becomes the machine %s with %s and a copy of its disk (%s)%s.  The old VM stays as it is; do not run both.  Continue? "
          (plist-get found :id)
          (string-join (plist-get found :profiles) ",") (plist-get found :mode) name
          (if (equal name (plist-get found :name)) "its settings, its identity" "its settings, an identity of its own")
          (nixvm--adopt-size found)
          (if (> (or (plist-get found :snapshots) 0) 0)
              (format "; %d snapshots stay in the old disk" (plist-get found :snapshots)) "")))

(defun nixvm-adopt-copy-config ()
  "Copy what the .env file means as a part of config.toml."
  (interactive nil nixvm-adopt-mode)
  (unless nixvm--adopt-config (user-error "The .env file has nothing that config.toml needs"))
  (kill-new nixvm--adopt-config)
  (message "Copied; it belongs into config.toml of nixvm:\n%s" nixvm--adopt-config))

(provide 'nixvm-adopt)
;;; nixvm-adopt.el ends here
