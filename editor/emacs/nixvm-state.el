;;; nixvm-state.el --- What is known of the machines  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; The daemon pushes every change; this file keeps the last state of each
;; machine and of each operation, so that lists and completion answer at once.
;;
;; A machine is a plist with the fields of the protocol: :name, :state, :phase,
;; :actions, :profiles (a vector), :memoryMiB, :sshHost... (docs/protocol.md has them all).

;;; Code:

(require 'iso8601)
(require 'nixvm-rpc)

(defcustom nixvm-change-functions nil
  "Functions called with (NAME OLD NEW) when a machine has changed.
OLD and NEW are machines, or nil: one that is new has no OLD, one that is gone
no NEW."
  :type 'hook
  :group 'nixvm)

(defface nixvm-running '((t :inherit success))
  "Face for a machine that runs."
  :group 'nixvm)
(defface nixvm-booting '((t :inherit warning))
  "Face for a machine that is not ready yet."
  :group 'nixvm)
(defface nixvm-stopped '((t :inherit shadow))
  "Face for a machine that is off."
  :group 'nixvm)
(defface nixvm-suspended '((t :inherit font-lock-constant-face))
  "Face for a suspended machine."
  :group 'nixvm)
(defface nixvm-broken '((t :inherit error))
  "Face for a machine that is broken."
  :group 'nixvm)
(defface nixvm-busy '((t :inherit font-lock-keyword-face))
  "Face for a running operation."
  :group 'nixvm)

(defvar nixvm--machines (make-hash-table :test #'equal) "Machines by name.")
(defvar nixvm--operations (make-hash-table :test #'equal) "Operations by id.")
(defvar nixvm--status nil "Params of the last nixvm/serverStatus, or nil.")

(defvar nixvm--refresh-functions nil
  "Functions without arguments that show the state anew.
They run soon after a change, once for any number of changes.")
(defvar nixvm--disruption-functions nil
  "Functions called with (MACHINE KIND) when a machine is about to go away.
KIND is the kind of the operation, e.g. \"reboot\", or the new state.  One
operation calls them when it begins, and again when the machine has gone.")
(defvar nixvm--refresh-timer nil)
(defvar nixvm--pending-events nil "Hooks to run, newest first, as (FUNCTION . ARGS).")

;;;; Access

(defun nixvm-machines ()
  "Return all known machines, ordered by name, without asking the daemon."
  (sort (hash-table-values nixvm--machines)
        (lambda (a b) (string< (plist-get a :name) (plist-get b :name)))))

(defun nixvm-machine (name)
  "Return the last known state of the machine NAME, or nil."
  (gethash name nixvm--machines))

(defun nixvm--operation-of (machine)
  "Return the running operation of MACHINE, or nil."
  (when-let* ((id (plist-get machine :operation))
              (op (gethash id nixvm--operations)))
    (and (equal (plist-get op :state) "running") op)))

(defun nixvm--unresolved (&optional name)
  "The operations that failed and could not be undone, oldest first.
With NAME only those of that machine.  Nothing happens until one of the choices
of each is made."
  (sort (cl-remove-if-not (lambda (op)
                            (and (equal (plist-get op :state) "unresolved")
                                 (or (null name) (equal (plist-get op :machine) name))))
                          (hash-table-values nixvm--operations))
        (lambda (a b) (string< (plist-get a :id) (plist-get b :id)))))

(defun nixvm--true (value)
  "Whether VALUE is JSON's true."
  (and value (not (eq value :json-false))))

(defun nixvm--state (machine)
  "The phase of MACHINE for display, where a ready one is shown as running."
  (pcase (plist-get machine :phase)
    ("ready" "running")
    ('nil "unknown")
    (phase phase)))

(defun nixvm--state-face (state)
  "The face for STATE."
  (pcase state
    ("running" 'nixvm-running)
    ("booting" 'nixvm-booting)
    ("suspended" 'nixvm-suspended)
    ((or "crashed" "broken") 'nixvm-broken)
    (_ 'nixvm-stopped)))

(defun nixvm--up-p (machine)
  "Whether MACHINE has a running guest."
  (equal (plist-get machine :state) "running"))

(defun nixvm--can-p (key machine)
  "Whether the verb KEY, a string, can be done with MACHINE now."
  (and (seq-contains-p (plist-get machine :actions) key) t))

(defun nixvm--exists-p (machine)
  "Whether MACHINE is more than declared."
  (nixvm--can-p "attach" machine))

(defun nixvm--disruptive-p (operation)
  "Whether connections into the guest end during OPERATION."
  (nixvm--true (plist-get operation :disruptive)))

(defun nixvm--machine-of-host (host)
  "Return the machine that ssh knows as HOST, or nil."
  (cl-find-if (lambda (m)
                (or (equal (plist-get m :sshHost) host)
                    (equal (plist-get m :adminHost) host)))
              (hash-table-values nixvm--machines)))

(defun nixvm--hosts (machine)
  "The names under which ssh knows MACHINE."
  (delete-dups (delq nil (list (plist-get machine :sshHost) (plist-get machine :adminHost)
                               (plist-get machine :name)))))

(defvar-local nixvm--buffer-machine nil
  "The name of the machine of a terminal, whose directory is one of this computer.")

(defun nixvm-current-machine (&optional directory)
  "Return the machine that DIRECTORY lies in, or nil.
Without DIRECTORY it is the machine of the current buffer."
  (if-let ((method (file-remote-p (or directory default-directory) 'method)))
      ;; /nixvm:demo-admin|sudo:demo-admin: lies in demo as well.
      (let ((directory (or directory default-directory)))
        (when (string-match-p "\\`\\(?:nixvm\\|nixvmcp\\|ssh\\|scp\\)\\(?::\\|\\'\\)"
                              (or (file-remote-p directory 'hop) method))
          (nixvm--machine-of-host (file-remote-p directory 'host))))
    (and (null directory) nixvm--buffer-machine (nixvm-machine nixvm--buffer-machine))))

(defun nixvm--offered-p (key &optional machine)
  "Whether the verb KEY can be done with MACHINE now.
Without MACHINE, whether any backend can do it; while not connected everything
is offered."
  (cond (machine (nixvm--can-p key machine))
        ((null (nixvm--backends)) t)
        (t (cl-some (lambda (b) (seq-contains-p (plist-get b :actions) key)) (nixvm--backends)))))

(defun nixvm--backend-able-p (key machine)
  "Whether the backend of MACHINE can do the verb KEY, in any state."
  (let ((backend (nixvm--backend (plist-get machine :backend))))
    (or (null backend) (seq-contains-p (plist-get backend :actions) key))))

(defun nixvm--verb (key)
  "The verb KEY of the daemon, a plist; complain if it has none."
  (or (cl-find key (nixvm--verbs) :key (lambda (v) (plist-get v :key)) :test #'equal)
      (user-error "This nixvmd has no %s" key)))

(defun nixvm--method-p (method)
  "Whether the daemon answers METHOD; while not connected, yes."
  (let ((methods (nixvm--methods)))
    (or (null methods) (member method methods))))

(defun nixvm--need-method (method)
  "Complain if the daemon does not have METHOD."
  (unless (nixvm--method-p method)
    (user-error "This nixvmd has no %s" method)))

;;;; Changes from the daemon

(defun nixvm--later (function &rest args)
  "Call FUNCTION with ARGS soon, outside of the process filter."
  (push (cons function args) nixvm--pending-events)
  (nixvm--refresh-soon))

(defun nixvm--refresh-soon ()
  "Show the state anew, soon and once."
  (unless nixvm--refresh-timer
    (setq nixvm--refresh-timer (run-at-time 0.03 nil #'nixvm--refresh))))

(defun nixvm--refresh ()
  "Run what has been queued, then show the state anew."
  (setq nixvm--refresh-timer nil)
  (let ((events (nreverse nixvm--pending-events)))
    (setq nixvm--pending-events nil)
    (dolist (e events)
      (with-demoted-errors "nixvm: %S" (apply (car e) (cdr e)))))
  (with-demoted-errors "nixvm: %S" (run-hooks 'nixvm--refresh-functions)))

(defun nixvm--put-machine (new)
  "Remember the machine NEW."
  (let* ((name (plist-get new :name))
         (old (gethash name nixvm--machines)))
    (puthash name new nixvm--machines)
    (when (and old (nixvm--up-p old) (not (nixvm--up-p new)))
      (let ((op (nixvm--operation-of new)))
        (nixvm--later #'run-hook-with-args 'nixvm--disruption-functions new
                      (if (nixvm--disruptive-p op) (plist-get op :kind)
                        (plist-get new :phase)))))
    (when nixvm-change-functions
      (nixvm--later #'run-hook-with-args 'nixvm-change-functions name old new))))

(defun nixvm--drop-machine (name)
  "Forget the machine NAME."
  (when-let ((old (gethash name nixvm--machines)))
    (remhash name nixvm--machines)
    (nixvm--later #'run-hook-with-args 'nixvm--disruption-functions old "gone")
    (nixvm--later #'run-hook-with-args 'nixvm-change-functions name old nil)))

(defun nixvm--put-operation (op)
  "Remember the operation OP; one that has ended is kept until the next full state."
  (let* ((id (plist-get op :id))
         (known (gethash id nixvm--operations)))
    (puthash id op nixvm--operations)
    (when (and (not known)
               (equal (plist-get op :state) "running")
               (nixvm--disruptive-p op))
      (when-let ((machine (gethash (plist-get op :machine) nixvm--machines)))
        (nixvm--later #'run-hook-with-args 'nixvm--disruption-functions
                      machine (plist-get op :kind))))))

(defun nixvm--did-change (params)
  "Take over what is in PARAMS."
  (when (nixvm--true (plist-get params :full))
    (clrhash nixvm--operations)
    (let ((names (mapcar (lambda (m) (plist-get m :name)) (plist-get params :machines))))
      (dolist (name (hash-table-keys nixvm--machines))
        (unless (member name names) (nixvm--drop-machine name))))
    (mapc #'nixvm--put-machine (plist-get params :machines)))
  (when-let ((backends (plist-get params :backends))
             (conn (nixvm--live)))
    (oset conn capabilities (plist-put (oref conn capabilities) :backends backends)))
  (mapc #'nixvm--put-operation (plist-get params :operations))
  (mapc #'nixvm--put-machine (plist-get params :changed))
  (mapc #'nixvm--drop-machine (plist-get params :removed))
  (nixvm--refresh-soon))

(defun nixvm--server-status (params)
  "Take over the state of the daemon as a whole from PARAMS."
  (setq nixvm--status params)
  (nixvm--refresh-soon))

(setf (alist-get 'nixvm/didChange nixvm--notification-handlers) #'nixvm--did-change
      (alist-get 'nixvm/serverStatus nixvm--notification-handlers) #'nixvm--server-status)

(add-hook 'nixvm-connected-hook #'nixvm--refresh-soon)
(add-hook 'nixvm-disconnected-hook #'nixvm--refresh-soon)

;;;; Words

(defun nixvm--size (mib)
  "MIB formatted for display."
  (cond ((not (numberp mib)) "")
        ((zerop mib) "")
        ((zerop (mod mib 1024)) (format "%d GiB" (/ mib 1024)))
        ((< mib 1024) (format "%d MiB" mib))
        (t (format "%.1f GiB" (/ mib 1024.0)))))

(defun nixvm--time (text)
  "Return the time that TEXT means, RFC 3339 as the daemon sends it, or nil."
  (and (stringp text) (ignore-errors (encode-time (iso8601-parse text)))))

(defun nixvm--when (text)
  "The time TEXT of the daemon in the user's zone, and how long ago it is."
  (if-let ((time (nixvm--time text)))
      (let ((ago (max 0 (float-time (time-since time)))))
        (format "%s (%s ago)" (format-time-string "%F %R" time)
                (cond ((< ago 90) (format "%d s" ago))
                      ((< ago 5400) (format "%d min" (/ ago 60)))
                      ((< ago 129600) (format "%d h" (/ ago 3600)))
                      (t (format "%d days" (/ ago 86400))))))
    ""))

(defun nixvm--progress-text (op)
  "One line on the operation OP."
  (let ((percent (plist-get op :percent))
        (text (or (plist-get op :message) (plist-get op :step))))
    (string-join (delq nil (list (plist-get op :kind)
                                 (and percent (format "%d%%" percent))
                                 (and text (not (string-empty-p text)) text)))
                 " ")))

(defun nixvm--unresolved-text (op)
  "One line on the unresolved operation OP."
  (format "unresolved %s: %s" (plist-get op :kind)
          (or (plist-get (plist-get op :problem) :message) (plist-get op :message)
              "it could not be undone")))

(defconst nixvm--settings
  '((:profiles "profiles" "software in the image")
    (:mode "mode" "what of the system is writable")
    (:memoryMiB "memory" "such as 8G")
    (:vcpus "vcpus" "number of virtual CPUs")
    (:diskBytes "disk" "size of the state disk; it cannot shrink")
    (:network "network" "nat, or bridge:INTERFACE")
    (:staticIp "static-ip" "192.168.1.10/24; empty: DHCP")
    (:gateway "gateway" "of the static address; empty: none")
    (:nameservers "dns" "name servers, separated by commas; empty: those of DHCP")
    (:hosts "hosts" "ADDRESS NAME..., separated by commas")
    (:tcpPorts "tcp-ports" "open in the guest's firewall, separated by commas")
    (:udpPorts "udp-ports" "open in the guest's firewall, separated by commas")
    (:allowedCidrs "allowed-cidrs" "private networks that the isolation allows, separated by commas")
    (:pciDevices "pci" "PCI devices of the host that the VM gets, separated by commas")
    (:addKeys "add-keys" "file with SSH public keys to authorize")
    (:removeKeys "remove-keys" "SSH keys to authorize no longer, separated by commas"))
  "The settings of a machine: a list of (FIELD NAME HELP).
FIELD is that of nixvm/machine/configure.")

(defun nixvm--setting-names (fields)
  "The names of FIELDS, a sequence of names on the wire, in a line."
  (mapconcat (lambda (field)
               (or (cadr (assq (intern (concat ":" field)) nixvm--settings)) field))
             fields ", "))

(defun nixvm--pending (machine)
  "The settings that the VM of MACHINE does not have yet, by their wire names."
  (delete-dups (append (plist-get machine :nextStart) (plist-get machine :pending) nil)))

(defun nixvm--pending-text (machine)
  "What it takes until the VM of MACHINE has all settings; nil for nothing."
  (let ((start (append (plist-get machine :nextStart) nil))
        (image (append (plist-get machine :pending) nil)))
    (when (or start image)
      (string-join
       (delq nil
             (list (when start (format "pending until its next start: %s" (nixvm--setting-names start)))
                   (when image (format "pending until %s: %s"
                                       (if (nixvm--can-p "upgrade" machine) "an upgrade"
                                         "its VM is recreated")
                                       (nixvm--setting-names image)))))
       "; "))))

;;;; Asking for a machine

(defun nixvm--annotate (name)
  "The annotation of the machine NAME in completions."
  (when-let ((m (nixvm-machine name)))
    (let ((op (nixvm--operation-of m)))
      (concat "  " (if op (nixvm--progress-text op) (nixvm--state m))
              (and (< 0 (length (plist-get m :profiles)))
                   (concat "  " (string-join (plist-get m :profiles) ",")))))))

(defun nixvm--machine-table (predicate)
  "A completion table of the machines for which PREDICATE is non-nil."
  (let ((names (delq nil (mapcar (lambda (m)
                                   (and (or (null predicate) (funcall predicate m))
                                        (plist-get m :name)))
                                 (nixvm-machines)))))
    (lambda (string pred action)
      (if (eq action 'metadata)
          '(metadata (category . nixvm-machine) (annotation-function . nixvm--annotate))
        (complete-with-action action names string pred)))))

(defun nixvm-read-machine (prompt &optional predicate)
  "Ask for the name of a machine with PROMPT; return the name.
Only those are offered for which PREDICATE, called with the machine, is
non-nil.  The default is the machine that the current buffer lies in."
  (nixvm--ensure)
  (let* ((table (nixvm--machine-table predicate))
         (names (all-completions "" table))
         (here (plist-get (nixvm-current-machine) :name))
         (default (cond ((member here names) here)
                        ((= (length names) 1) (car names)))))
    (unless names
      (user-error (if (zerop (hash-table-count nixvm--machines))
                      (substitute-command-keys "There are no machines yet; \\[nixvm-create] creates one")
                    "There is no machine on which that is possible")))
    (completing-read (format-prompt prompt default) table nil t nil
                     'nixvm--machine-history default)))

(defvar nixvm--machine-history nil "History of machine names.")

(provide 'nixvm-state)
;;; nixvm-state.el ends here
