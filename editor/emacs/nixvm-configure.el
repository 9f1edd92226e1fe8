;;; nixvm-configure.el --- Change the settings of a machine  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; `nixvm-configure' changes settings of a machine: several at once, because some
;; belong together.  `nixvm-apply' applies those that its VM does not have yet.
;; The daemon checks each answer, and knows what the machine has now.
;; `nixvm-share' lets another computer reach a machine.

;;; Code:

(require 'nixvm)
(require 'nixvm-settings)
(require 'nixvm-upgrade)

(defun nixvm--file-lines (file)
  "The lines of FILE that are neither empty nor comments."
  (with-temp-buffer
    (insert-file-contents file)
    (cl-remove-if (lambda (line) (string-prefix-p "#" line))
                  (split-string (buffer-string) "\n" t "[ \t\r]+"))))

(defun nixvm--read-key-file (prompt &optional optional)
  "Ask with PROMPT for a file of public keys; return its lines.
If OPTIONAL, no file is an answer too."
  (let ((file (read-file-name prompt "~/.ssh/" (and optional "") (not optional))))
    (unless (and optional (member file '("" "~/.ssh/")))
      (nixvm--file-lines (expand-file-name file)))))

(defun nixvm--read-setting (key field machine prompt typed problem)
  "Ask with PROMPT for the setting KEY of MACHINE.
FIELD is the daemon's check of it.  TYPED is the answer before; PROBLEM is what
is wrong with it."
  (let* ((choices (append (plist-get field :choices) nil))
         (now (nixvm--check-text field)))
    (pcase key
      (:profiles (nixvm--read-profiles (or typed (and now (split-string now ","))) choices problem))
      (:mode (nixvm--read-mode (or typed now) choices problem))
      (:network (nixvm--read-network now (nixvm--backend (plist-get machine :backend)) typed problem))
      (:pciDevices (nixvm--read-pci (or typed (and now (split-string now ",")))
                                    (nixvm--backend (plist-get machine :backend)) problem))
      ((or :memoryMiB :vcpus :diskBytes) (nixvm--read-text prompt now typed problem))
      (:addKeys (nixvm--read-key-file (nixvm--prompt prompt nil problem)))
      (:removeKeys (completing-read-multiple (nixvm--prompt prompt nil problem) choices nil t))
      (_ ; what there is can be edited
       (let* ((old (or typed (append (plist-get field :values) nil) (unless (equal now "dhcp") now)))
              (text (nixvm--read-text prompt nil (if (listp old) (string-join old ", ") old) problem)))
         (cond ((memq key nixvm--list-params) (split-string text "," t "[ \t]+"))
               ((not (string-empty-p text)) text)
               ;; An empty field is unset in a draft.
               (t (pcase key (:gateway "none") (:staticIp "dhcp") (_ text)))))))))

(defun nixvm--ask-setting (name key draft &optional wrong)
  "Ask for the setting KEY of the machine NAME; return DRAFT with it.
WRONG is the problem of DRAFT because of which it is asked for, if any."
  (let* ((others (append (list :name name) (nixvm--without key draft)))
         (field (plist-get (nixvm--check "configure" others) key))
         (prompt (pcase (assq key nixvm--settings)
                   (`(,_ ,title ,help) (format "%s, %s (%s)" name title help))))
         (value (nixvm--ask "configure" others key
                            (lambda (typed problem)
                              (nixvm--read-setting key field (nixvm-machine name) prompt
                                                   typed (or problem wrong))))))
    (append (nixvm--without key draft)
            (list key (if (listp value) (vconcat value) value)))))

(defun nixvm--ask-settings (name)
  "Ask which settings of the machine NAME to change, and for each.
Return them as a draft of nixvm/machine/configure."
  (let* ((fields (nixvm--check "configure" (list :name name)))
         (pci (or (nixvm--pci-p (nixvm--backend (plist-get (nixvm-machine name) :backend)))
                  (nixvm--check-text (plist-get fields :pciDevices))))
         (offered (cl-remove-if-not (lambda (s)
                                      (and (plist-member fields (car s))
                                           (or pci (not (eq (car s) :pciDevices)))))
                                    nixvm--settings))
         (completion-extra-properties
          (list :annotation-function
                (lambda (title)
                  (when-let ((setting (cl-find title offered :key #'cadr :test #'equal)))
                    (let ((now (nixvm--check-text (plist-get fields (car setting)))))
                      (format "  %s(%s)" (if now (concat now "  ") "") (nth 2 setting)))))))
         (chosen (completing-read-multiple (format "Settings of %s to change, separated by commas: " name)
                                           (mapcar #'cadr offered) nil t))
         draft)
    (pcase-dolist (`(,key ,title ,_) offered)
      (when (member title chosen)
        (setq draft (nixvm--ask-setting name key draft))))
    (unless draft (user-error "Nothing was changed"))
    ;; Some belong together: what else is needed is asked for.
    (while (when-let ((wrong (nixvm--wrong-setting name draft)))
             (setq draft (nixvm--ask-setting name (car wrong) draft (cdr wrong)))))
    draft))

(defun nixvm--wrong-setting (name draft)
  "The first problem of DRAFT for the machine NAME: (FIELD . TEXT), or nil."
  (cl-loop for (key field) on (nixvm--check "configure" (append (list :name name) draft)) by #'cddr
           for problem = (plist-get field :problem)
           when problem
           return (if (assq key nixvm--settings) (cons key (nixvm--error-text problem))
                    (user-error "%s" (nixvm--error-text problem)))))

(defun nixvm--configure-params (name draft)
  "The params of nixvm/machine/configure for the machine NAME and DRAFT.
The daemon reads the sizes."
  (let ((fields (nixvm--check "configure" (append (list :name name) draft))))
    (cl-loop for (key value) on draft by #'cddr
             append (list key
                          (pcase key
                            ((or :memoryMiB :vcpus :diskBytes) (plist-get (plist-get fields key) :number))
                            ((or :tcpPorts :udpPorts) (vconcat (mapcar #'string-to-number value)))
                            (:gateway (if (equal value "none") "" value))
                            (_ value))))))

;;;###autoload
(defun nixvm-configure (name params)
  "Change settings of the machine NAME.
PARAMS is a plist with params of nixvm/machine/configure.  Interactively, ask
which settings to change, and for each; the daemon checks each answer.

Ports, networks, DNS, hosts and keys are applied to a running machine at once if
its image supports that.  The others are pending: see `nixvm-apply'."
  (interactive
   (let ((name (nixvm--target "Configure" "configure")))
     (list name (nixvm--configure-params name (nixvm--ask-settings name)))))
  (nixvm--async "nixvm/machine/configure" (append (list :name name) params)
                (apply-partially #'nixvm--configured name "configured")
                (lambda (err) (nixvm--show-error err (format "Configure %s" name)))))

;;;###autoload
(defun nixvm-apply (name)
  "Apply to the VM of the machine NAME what is pending.
A running guest takes over at once what it can, including edits of files in the
machine directory.  For the rest, ask whether to upgrade, recreate or reboot."
  (interactive (list (nixvm--target "Apply the pending changes of" "configure" #'nixvm--pending)))
  (nixvm--async "nixvm/machine/configure" (list :name name)
                (lambda (result)
                  (nixvm--when-applied name result
                                       (lambda (machine) (nixvm--later #'nixvm--apply-rest machine))))
                (lambda (err) (nixvm--show-error err (format "Configure %s" name)))))

(defun nixvm--apply-rest (machine)
  "Ask whether to upgrade, recreate or reboot MACHINE, for what is pending."
  (let ((name (plist-get machine :name))
        (text (nixvm--pending-text machine)))
    (cond
     ((null text) (message "%s has all its settings" name))
     ((and (plist-get machine :pending) (nixvm--can-p "upgrade" machine))
      (nixvm-upgrade name (nixvm--confirm-image machine (format "%s: %s.  It gets a new image" name text))))
     ((and (plist-get machine :pending) (nixvm--can-p "recreate" machine))
      (nixvm--confirm-recreate machine nil)
      (nixvm-recreate name))
     ((and (plist-get machine :nextStart) (nixvm--can-p "reboot" machine))
      (if (y-or-n-p (format "%s: %s.  Reboot it now? " name text))
          (nixvm-reboot (list name))
        (message "%s: %s" name text)))
     (t (message "%s: %s" name text)))))

;;;; Another computer

;;;###autoload
(defun nixvm-share (name &optional keys)
  "Show what another computer needs to reach the machine NAME by ssh.
The machine has to be on a bridge.  KEYS are SSH public keys of that computer,
which are authorized; interactively, ask for the file that has them."
  (interactive
   (let ((name (nixvm--target "Share" "share")))
     (list name (nixvm--read-key-file
                 (format "Public key of the other computer (RET: it can log in to %s already): " name)
                 t))))
  (nixvm--async "nixvm/ssh/share" (append (list :name name) (and keys (list :keys (vconcat keys))))
                (lambda (result)
                  (nixvm--when-applied name result
                                       (lambda (machine)
                                         (nixvm--later #'nixvm--show-share machine result keys))))
                (lambda (err) (nixvm--show-error err (format "Share %s" name)))))

(defun nixvm--show-share (machine result keys)
  "Show RESULT of sharing MACHINE, for which KEYS are authorized."
  (let ((name (plist-get machine :name)))
    (with-current-buffer (nixvm--buffer (format "*%s share*" name))
      (special-mode)
      (let ((inhibit-read-only t))
        (erase-buffer)
        (insert (propertize "# for ~/.ssh/config of the other computer\n" 'face 'shadow)
                (plist-get result :config)
                (propertize "\n# for its ~/.ssh/known_hosts\n" 'face 'shadow)
                (string-trim (plist-get result :knownHost)) "\n")
        (when-let ((warning (plist-get result :warning)))
          (insert "\n" (propertize warning 'face 'warning) "\n"))
        (when-let ((later (and keys (nixvm--pending-text machine))))
          (insert "\n" (propertize (format "%s: %s" name later) 'face 'warning) "\n"))
        (goto-char (point-min)))
      (display-buffer (current-buffer)))))

(provide 'nixvm-configure)
;;; nixvm-configure.el ends here
