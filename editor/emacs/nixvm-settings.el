;;; nixvm-settings.el --- Settings of a machine  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; Changes of the settings of a machine that a running guest takes over at once.

;;; Code:

(require 'nixvm)

(defun nixvm--configured (name what result)
  "Tell that the machine NAME has WHAT, according to RESULT of the request."
  (nixvm--when-applied name result (apply-partially #'nixvm--tell-configured name what)))

(defun nixvm--when-applied (name result then)
  "Call THEN with the machine NAME after RESULT of a request to configure it.
If the running guest gets the settings, that is when it has them."
  (let ((machine (plist-get result :machine)))
    (if-let ((id (plist-get machine :operation)))
        (nixvm--async "nixvm/operation/subscribe" (list :id id)
                      (lambda (_) (funcall then (nixvm-machine name)))
                      (lambda (err) (nixvm--show-error err (format "Settings of %s" name))))
      (funcall then machine))))

(defun nixvm--tell-configured (name what machine)
  "Tell that the machine NAME has WHAT, and what MACHINE takes over later."
  (message "%s: %s%s" name what
           (if-let ((later (nixvm--pending-text machine)))
               (substitute-command-keys (format "; %s (\\[nixvm-apply])" later))
             "")))

(defun nixvm--password-hash (password then)
  "Hash PASSWORD by the program nixvmd, and call THEN with the hash.
The password goes to the standard input of the program and no further."
  (nixvm--locally
    (let* ((program (or (executable-find nixvm-program)
                        (user-error "There is no program %s; set `nixvm-program'" nixvm-program)))
           (process
            (make-process
             :name "nixvm-passwd" :buffer (generate-new-buffer " *nixvm-passwd*") :noquery t
             :connection-type 'pipe :command (list program "passwd" "--hash" "--stdin" "--json")
             :sentinel
             (lambda (process _event)
               (unless (process-live-p process)
                 (let ((text (with-current-buffer (process-buffer process) (buffer-string))))
                   (kill-buffer (process-buffer process))
                   (nixvm--password-hashed text then)))))))
      (process-send-string process password)
      (process-send-eof process))))

(defun nixvm--password-hashed (text then)
  "Call THEN with the hash in TEXT, which nixvmd has printed, or show its error."
  (let* ((said (ignore-errors (json-parse-string (car (last (split-string text "\n" t)))
                                                 :object-type 'plist)))
         (hash (plist-get said :hash)))
    (if (stringp hash)
        (funcall then hash)
      (nixvm--show-error (or (plist-get said :error)
                             (list :message "The program nixvmd printed no hash"))
                         "Password"))))

;;;###autoload
(defun nixvm-passwd (name password)
  "Set the PASSWORD of root in the machine NAME, for its serial console.
An empty PASSWORD removes it.  Only its hash is sent to the daemon."
  (interactive
   (let ((name (nixvm--target "Password of root" "passwd")))
     (list name (let ((password (read-passwd (format "New password of root in %s (empty: none): " name) t)))
                  (when (and (string-empty-p password)
                             (not (y-or-n-p (format "Remove the password of root in %s? " name))))
                    (keyboard-quit))
                  password))))
  (cl-flet ((send (hash what)
              (nixvm--async "nixvm/machine/configure" (list :name name :rootPasswordHash hash)
                            (apply-partially #'nixvm--configured name what)
                            (lambda (err) (nixvm--show-error err (format "Password of %s" name))))))
    (if (string-empty-p password)
        (send "" "root has no password")
      (unwind-protect
          (nixvm--password-hash (encode-coding-string password 'utf-8 t)
                                (lambda (hash) (send hash "root has a new password")))
        (clear-string password)))))

;;;; The mode, and the VM anew

(defconst nixvm--mode-meanings
  '(("immutable" . "read-only system, state on a separate disk")
    ("semi-mutable" . "the same, with a writable /nix")
    ("mutable" . "one writable disk"))
  "What the modes are, for people.")

;;;###autoload
(defun nixvm-set-mode (name mode)
  "Give the machine NAME another MODE.
A VM that exists keeps its own until it is upgraded; from or to mutable, until
it is recreated with \\[nixvm-recreate]."
  (interactive
   (let* ((name (nixvm--target "Mode of" "configure"))
          (field (plist-get (nixvm--check "configure" (list :name name)) :mode))
          (choices (append (plist-get field :choices) nil))
          (completion-extra-properties
           (list :annotation-function
                 (lambda (mode) (concat "  " (alist-get mode nixvm--mode-meanings "" nil #'equal))))))
     (list name (completing-read (format-prompt "Mode of %s" (plist-get field :value) name)
                                 choices nil t nil nil (plist-get field :value)))))
  (nixvm--async "nixvm/machine/configure" (list :name name :mode mode)
                (lambda (result)
                  (let ((machine (plist-get result :machine)))
                    (message "%s is %s%s" name mode
                             (if-let ((now (plist-get machine :vmMode)))
                                 (if (or (equal now "mutable") (equal mode "mutable"))
                                     (substitute-command-keys
                                      (format "; its VM stays %s until \\[nixvm-recreate], which empties its disks" now))
                                   (format "; its VM stays %s until it is upgraded" now))
                               ""))))
                (lambda (err) (nixvm--show-error err (format "Mode of %s" name)))))

(defun nixvm--confirm-recreate (machine discard)
  "Make the user confirm that MACHINE gets empty disks.
The former ones are deleted if DISCARD."
  (let ((name (plist-get machine :name)))
    (nixvm--confirm-by-name
     name (format "%s gets empty disks; the former ones and their snapshots are %s.%s" name
                  (if discard "deleted" "set aside (a prefix argument deletes them)")
                  (if-let ((now (plist-get machine :vmMode)))
                      (format "  It is %s and becomes %s." now (plist-get machine :mode))
                    "")))))

;;;###autoload
(defun nixvm-recreate (name &optional discard)
  "Make the VM of the machine NAME anew: empty disks, and the image of today.
This applies a changed mode.  The machine is kept, with its settings, its host
key and its SSH names.  The former disks and snapshots are set aside until
\\[nixvm-image-gc]; with DISCARD, interactively a prefix argument, they are deleted
as soon as the new VM is ready.  The name must be typed to confirm."
  (interactive
   (let ((name (nixvm--target "Recreate" "recreate")))
     (nixvm--confirm-recreate (nixvm-machine name) current-prefix-arg)
     (list name current-prefix-arg)))
  (nixvm--begin "nixvm/vm/recreate"
                (append (list :name name :confirm name) (and discard (list :discard t)))
                (format "Recreate %s" name) #'ignore))

;;;###autoload
(defun nixvm-rename (name new)
  "Give the machine NAME the name NEW: its directory, its VM and its SSH names.
A VM that is running is shut down first, if you agree, and started again."
  (interactive
   (let ((name (nixvm--target "Rename" "rename")))
     ;; The rules are those for the name of a copy.
     (list name (nixvm--ask "clone" (list :name name) :newName
                            (apply-partially #'nixvm--read-text
                                             (format "New name of %s" name) name)))))
  (let ((running (equal (plist-get (nixvm-machine name) :state) "running")))
    (when (and running
               (not (y-or-n-p (format "%s is running.  Shut it down, and start it again as %s? "
                                      name new))))
      (keyboard-quit))
    (nixvm--begin "nixvm/vm/rename"
                  (append (list :name name :newName new) (and running (list :confirm name)))
                  (format "Rename %s to %s" name new) #'ignore)))

(provide 'nixvm-settings)
;;; nixvm-settings.el ends here
