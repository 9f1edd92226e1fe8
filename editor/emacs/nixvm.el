;;; nixvm.el --- Virtual machines for code agents  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors

;; Author: The nixvm authors <nixvm@users.noreply.github.com>
;; Maintainer: The nixvm authors <nixvm@users.noreply.github.com>
;; URL: https://github.com/nixvm/nixvm
;; Version: 0.1.0
;; Package-Requires: ((emacs "28.1"))
;; Keywords: tools, processes, comm
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; nixvm makes virtual machines in which a code agent can work at full speed,
;; without access to the computer that it runs on.  This package is the way
;; from Emacs to its daemon, nixvmd:
;;
;;   M-x nixvm              the list of machines; ? shows its keys
;;   M-x nixvm-create       make one, and open it when it is ready
;;   M-x nixvm-run-agent    run claude or opencode in it
;;   C-x C-f /nixvm:NAME:   open any file in it
;;
;; Nothing here blocks Emacs: progress shows in the echo area and in the list,
;; and C-g or `nixvm-cancel' ends what takes too long.  docs/emacs.md of the
;; repository has the whole story.

;;; Code:

(require 'nixvm-rpc)
(require 'nixvm-state)
(require 'nixvm-operation)
(require 'nixvm-resolve)
(require 'nixvm-ssh)
(require 'nixvm-tramp)
(require 'nixvm-tramp-away)
(require 'nixvm-attach)
(require 'nixvm-create)
(require 'nixvm-agent)
(require 'nixvm-report)
(require 'nixvm-image)
(require 'nixvm-list)

(autoload 'nixvm-menu "nixvm-transient" "Show the actions on machines." t)
(autoload 'nixvm-backup "nixvm-backup" "Back up machines." t)
(autoload 'nixvm-restore-backup "nixvm-backup" "Restore a backup of a machine." t)
(autoload 'nixvm-backups "nixvm-backup" "Show the backups." t)
(autoload 'nixvm-export "nixvm-backup" "Write a machine as an archive." t)
(autoload 'nixvm-import "nixvm-backup" "Create a machine from an archive." t)
(autoload 'nixvm-configure "nixvm-configure" "Change the settings of a machine." t)
(autoload 'nixvm-apply "nixvm-configure" "Apply pending changes of a machine." t)
(autoload 'nixvm-share "nixvm-configure" "Let another computer reach a machine." t)
(autoload 'nixvm-passwd "nixvm-settings" "Set the password of root in a guest." t)
(autoload 'nixvm-set-mode "nixvm-settings" "Change the mode of a machine." t)
(autoload 'nixvm-recreate "nixvm-settings" "Recreate the VM of a machine." t)
(autoload 'nixvm-rename "nixvm-settings" "Give a machine another name." t)
(autoload 'nixvm-adopt "nixvm-adopt" "Take over VMs of nixos-vm-template." t)
(autoload 'nixvm-pull "nixvm-pull" "Pull the branch of an agent." t)
(autoload 'nixvm-upgrade "nixvm-upgrade" "Upgrade VMs to their current image." t)
(autoload 'nixvm-upgrade-all "nixvm-upgrade" "Upgrade all VMs to their current image." t)
(autoload 'nixvm-upgrade-preview "nixvm-upgrade" "Show what an upgrade would change." t)
(autoload 'nixvm-rollback "nixvm-upgrade" "Return a VM to an earlier image." t)

;;;###autoload
(defun nixvm ()
  "Show the list of machines.  In it, ? is a menu of all keys."
  (interactive)
  (nixvm-list))

;;;; Verbs

(defun nixvm--targets (prompt key &optional predicate)
  "The machines that a command should work on, as a list of names.
In a list those that are marked, or the one at point; elsewhere ask with
PROMPT.  Complain if the backend of one of them cannot do the verb KEY.  Those
are offered with which KEY can be done now, or which PREDICATE says."
  (nixvm--ensure)
  (nixvm--verb key)
  (let ((names (or (nixvm--list-targets)
                   (list (nixvm-read-machine prompt (or predicate
                                                        (lambda (m) (nixvm--can-p key m))))))))
    (dolist (name names names)
      (unless (nixvm--backend-able-p key (nixvm-machine name))
        (user-error "The backend %s of %s cannot do that"
                    (plist-get (nixvm-machine name) :backend) name)))))

(defun nixvm--target (prompt key &optional predicate)
  "Like `nixvm--targets' with PROMPT, KEY and PREDICATE, but one name."
  (let ((names (nixvm--targets prompt key predicate)))
    (when (cdr names)
      (user-error "Only one machine at a time; %d are marked" (length names)))
    (car names)))

(defun nixvm--each (names verb method &optional params)
  "Begin METHOD on every machine of NAMES; VERB is its name for people.
PARAMS are further params."
  (dolist (name (ensure-list names))
    (nixvm--begin method (append (list :name name) params) (format "%s %s" verb name) #'ignore)))

;;;###autoload
(defun nixvm-start (names)
  "Start the machines NAMES.
Interactively the marked ones, or the one at point, or ask."
  (interactive (list (nixvm--targets "Start" "start")))
  (nixvm--each names "Start" "nixvm/vm/start"))

;;;###autoload
(defun nixvm-stop (names)
  "Shut down the machines NAMES.
Interactively the marked ones, or the one at point, or ask."
  (interactive (list (nixvm--targets "Stop" "stop")))
  (nixvm--each names "Stop" "nixvm/vm/stop"))

;;;###autoload
(defun nixvm-reboot (names)
  "Reboot the machines NAMES.
Interactively the marked ones, or the one at point, or ask."
  (interactive (list (nixvm--targets "Reboot" "reboot")))
  (nixvm--each names "Reboot" "nixvm/vm/reboot"))

;;;###autoload
(defun nixvm-kill (names)
  "Power the machines NAMES off immediately.
Interactively the marked ones, or the one at point, or ask."
  (interactive
   (let ((names (nixvm--targets "Kill" "kill")))
     (unless (y-or-n-p (format "Power off %s immediately? " (string-join names ", ")))
       (keyboard-quit))
     (list names)))
  (nixvm--each names "Kill" "nixvm/vm/kill"))

;;;###autoload
(defun nixvm-suspend (names)
  "Suspend the machines NAMES; their memory is kept.
Interactively the marked ones, or the one at point, or ask."
  (interactive (list (nixvm--targets "Suspend" "suspend")))
  (nixvm--each names "Suspend" "nixvm/vm/suspend"))

;;;###autoload
(defun nixvm-resume (names)
  "Resume the suspended machines NAMES.
Interactively the marked ones, or the one at point, or ask."
  (interactive (list (nixvm--targets "Resume" "resume")))
  (nixvm--each names "Resume" "nixvm/vm/resume"))

;;;###autoload
(defun nixvm-autostart (names on)
  "Start the machines NAMES with the host of their backend if ON, else do not.
Interactively the marked ones, or the one at point, or ask; it is turned on
unless all of them have it.  It applies at once, whether they run or not."
  (interactive
   (let ((names (nixvm--targets "Start with its host" "autostart")))
     (list names (cl-notevery (lambda (name) (nixvm--autostart-p (nixvm-machine name))) names))))
  (dolist (name (ensure-list names))
    (nixvm--async "nixvm/machine/configure"
                  (list :name name :autostart (if on t :json-false))
                  (lambda (_)
                    (message "%s %s with the host of its backend" name
                             (if on "starts" "does not start")))
                  (lambda (err) (nixvm--show-error err (format "Autostart of %s" name))))))

(defun nixvm--autostart-p (machine)
  "Whether autostart is on for MACHINE."
  (nixvm--true (plist-get machine :autostart)))

;;;; Copies and moves

(defun nixvm--clonable-p (machine)
  "Whether MACHINE can be cloned, be it after it has been shut down."
  (or (nixvm--can-p "clone" machine)
      (and (nixvm--can-p "stop" machine) (nixvm--backend-able-p "clone" machine))))

;;;###autoload
(defun nixvm-clone (name new &optional snapshot answers)
  "Copy the machine NAME to a NEW one, and attach to that.
The disk is copied as it is now, or as it was in SNAPSHOT, with the credentials
on it; ANSWERS is a plist with :memory, :vcpus, :disk, :network, :profiles and
:mode if they should differ.  Other profiles or another mode take effect when
the copy is upgraded or recreated.  Interactively a machine that is up is shut
down first if it has to be, and if you agree.  With a prefix argument ask for
ANSWERS as well."
  (interactive
   (let* ((name (nixvm--target "Clone" "clone" #'nixvm--clonable-p))
          (new (nixvm--ask "clone" (list :name name) :newName
                           (apply-partially #'nixvm--read-text
                                            (format "Name of the copy of %s" name)
                                            (nixvm--free-name name)))))
     (list name new
           (plist-get (nixvm--read-snapshot "Copy the disk" name "as it is now") :name)
           (and current-prefix-arg (nixvm--read-differences (nixvm-machine name))))))
  (let ((machine (nixvm-machine name))
        ;; Now: what follows the shutdown must not wait for the daemon.
        (params (nixvm--given
                 (append (list :name name :newName new :snapshot snapshot)
                         (nixvm--numbers "clone" (list :name name :newName new) answers)
                         (list :network (plist-get answers :network)
                               :profiles (vconcat (plist-get answers :profiles))
                               :mode (plist-get answers :mode))))))
    (nixvm--stopped-first
     machine (format "%s is %s; only a stopped machine can be cloned.  Shut it down? " name
                     (nixvm--state machine))
     (lambda ()
       (nixvm--begin "nixvm/vm/clone" params (format "Clone %s to %s" name new)
                     (apply-partially #'nixvm--created new))))))

(defun nixvm--read-differences (machine)
  "Ask for the settings of a copy of MACHINE; return those that differ."
  (let* ((draft (list :name (plist-get machine :name)))
         (fields (nixvm--check "clone" draft))
         (network (plist-get machine :network))
         (profiles (delete "core" (append (plist-get machine :profiles) nil)))
         (mode (plist-get machine :mode)))
    (cl-flet ((other (param old read)
                (let ((new (nixvm--ask "clone" draft param read)))
                  (unless (equal (format "%s" new) (format "%s" old)) new)))
              (choices (param) (append (plist-get (plist-get fields param) :choices) nil)))
      (append
       (cl-loop for (key param prompt old)
                in `((:memory :memoryMiB "Memory" ,(nixvm--size (plist-get machine :memoryMiB)))
                     (:vcpus :vcpus "CPUs" ,(plist-get machine :vcpus))
                     (:disk :diskBytes "Disk" ,(nixvm--size (/ (or (plist-get machine :diskBytes) 0) 1048576))))
                append (list key (other param old (apply-partially #'nixvm--read-text prompt old))))
       (list :network (other :network network
                             (lambda (typed problem)
                               (nixvm--read-network network (nixvm--backend (plist-get machine :backend))
                                                    typed problem)))
             :profiles (other :profiles profiles
                              (lambda (typed problem)
                                (nixvm--read-profiles (or typed profiles) (choices :profiles) problem)))
             :mode (other :mode mode
                          (lambda (_ problem) (nixvm--read-mode mode (choices :mode) problem))))))))

(defun nixvm--stopped-first (machine question then)
  "Call THEN when MACHINE is off; shut it down if QUESTION is answered with yes."
  (if (not (nixvm--up-p machine))
      (funcall then)
    (unless (y-or-n-p question) (keyboard-quit))
    (let ((name (plist-get machine :name)))
      (nixvm--begin "nixvm/vm/stop" (list :name name) (format "Stop %s" name)
                    (lambda (_) (funcall then))))))

(defun nixvm--migration-targets (machine)
  "Where MACHINE can move to now, as an alist of (NAME KEY . NOTE).
KEY is :backend or :node."
  ;; One that did not answer when the session began may do so now.
  (cl-loop for b in (nixvm--backends)
           when (plist-get b :problem) do (nixvm--call "nixvm/backend/check" (list :name (plist-get b :name))))
  (let ((here (cl-find (plist-get machine :backend)
                       (plist-get (nixvm--call "nixvm/backend/list" nil) :backends)
                       :key (lambda (b) (plist-get b :name)) :test #'equal)))
    (append
     (mapcar (lambda (name) (cons name '(:backend . "another backend"))) (plist-get here :migratesTo))
     (when (nixvm--true (plist-get (plist-get here :capabilities) :nodes))
       (or (cl-loop for node across (plist-get (nixvm--call "nixvm/backend/nodes" (list :backend (plist-get here :name)))
                                               :nodes)
                    when (and (nixvm--true (plist-get node :online))
                              (not (equal (plist-get node :name) (plist-get machine :node))))
                    collect (cons (plist-get node :name)
                                  (cons :node (format "node of %s" (plist-get here :name)))))
           (user-error "No other node of %s is online" (plist-get here :name)))))))

;;;###autoload
(defun nixvm-migrate (name place &optional key)
  "Move the VM of the machine NAME to PLACE, be it up or off.
PLACE is another backend, or another node of its backend if KEY is :node.  Only
places are offered that can take it.  Files and terminals of a machine that
moves to another backend are reconnected."
  (interactive
   (let* ((name (nixvm--target "Migrate" "migrate"))
          (machine (nixvm-machine name))
          (targets (or (nixvm--migration-targets machine)
                       (user-error "There is no other backend that %s can move to: see docs/libvirt.md of nixvm"
                                   name)))
          (completion-extra-properties
           (list :annotation-function (lambda (place) (concat "  " (cddr (assoc place targets))))))
          (place (completing-read
                  (format-prompt "Migrate %s from %s to" (caar targets) name
                                 (plist-get machine :backend))
                  targets nil t nil nil (caar targets)))
          (key (cadr (assoc place targets))))
     (unless (or (not (nixvm--up-p machine))
                 (yes-or-no-p
                  (format "%s keeps running while it moves to %s%s.  Continue? " name place
                          (if (eq key :node) "" "; open connections to it are closed"))))
       (keyboard-quit))
     (list name place key)))
  (nixvm--begin "nixvm/vm/migrate"
                (append (list :name name)
                        (if (eq key :node) (list :backend "" :node place) (list :backend place)))
                (format "Migrate %s to %s" name place)
                (lambda (_)
                  (when-let ((machine (and (not (eq key :node)) (nixvm-machine name))))
                    (nixvm-tramp-forget machine))
                  (message "%s is on %s" name place))))

;;;; Snapshots

(defun nixvm--snapshots (name)
  "The snapshots of the machine NAME, newest first."
  (reverse (append (plist-get (nixvm--call "nixvm/snapshot/list" (list :name name))
                              :snapshots)
                   nil)))

(defun nixvm--read-snapshot (prompt name &optional none)
  "Ask with PROMPT for a snapshot of the machine NAME; return it, a plist.
NONE is the answer that stands for no snapshot, which is nil then."
  (let* ((snapshots (or (nixvm--snapshots name)
                        (unless none
                          (user-error "%s" (substitute-command-keys
                                            (format "%s has no snapshots; \\[nixvm-snapshot] takes one"
                                                    name))))))
         (names (append (and none (list none)) (mapcar (lambda (s) (plist-get s :name)) snapshots)))
         (find (lambda (n) (cl-find n snapshots :key (lambda (s) (plist-get s :name))
                                    :test #'equal)))
         (annotate (lambda (n)
                     (when-let ((s (funcall find n)))
                       (concat "  " (nixvm--when (plist-get s :created))
                               (and (plist-get s :description)
                                    (concat "  " (plist-get s :description))))))))
    (when snapshots
      (funcall find
               (completing-read
                (format-prompt prompt (car names))
                (lambda (string pred action)
                  (if (eq action 'metadata)
                      `(metadata (category . nixvm-snapshot)
                                 (annotation-function . ,annotate)
                                 (display-sort-function . ,#'identity)
                                 (cycle-sort-function . ,#'identity))
                    (complete-with-action action names string pred)))
                nil t nil nil (car names))))))

;;;###autoload
(defun nixvm-snapshot (name snapshot &optional description)
  "Take SNAPSHOT of the machine NAME, with a DESCRIPTION for people.
It may be running."
  (interactive
   (let ((name (nixvm--target "Snapshot of" "snapshot")))
     (list name
           (let ((default (format-time-string "%Y%m%d-%H%M%S")))
             (nixvm--ask "snapshot" (list :name name) :snapshot
                         (lambda (typed problem)
                           (read-string (nixvm--prompt "Name of the snapshot" default problem)
                                        typed nil default))))
           (read-string "Description (or RET): "))))
  (nixvm--begin "nixvm/snapshot/create"
                (append (list :name name :snapshot snapshot)
                        (unless (member description '(nil "")) (list :description description)))
                (format "Snapshot %s of %s" snapshot name) #'ignore))

;;;###autoload
(defun nixvm-restore (name snapshot)
  "Restore the machine NAME to SNAPSHOT.
Later changes are removed from its disk; a safety snapshot keeps them."
  (interactive
   (let* ((name (nixvm--target "Restore" "restore-snapshot"))
          (snapshot (nixvm--read-snapshot (format "Restore %s to" name) name))
          (unsaved (cl-count-if (lambda (b) (and (buffer-file-name b) (buffer-modified-p b)))
                                (nixvm-tramp--buffers (nixvm-machine name)))))
     (unless (yes-or-no-p
              (format "Restore %s to %s of %s?  Later changes are removed from its disk; a safety snapshot is taken first%s.  Continue? "
                      name (plist-get snapshot :name) (nixvm--when (plist-get snapshot :created))
                      (if (> unsaved 0) (format ".  %d unsaved buffers are kept" unsaved) "")))
       (keyboard-quit))
     (list name (plist-get snapshot :name))))
  (nixvm--begin "nixvm/snapshot/restore" (list :name name :snapshot snapshot :confirm name)
                (format "Restore %s to %s" name snapshot)
                (lambda (result)
                  (message "%s has been restored to %s%s" name snapshot
                           (if-let ((safety (plist-get (plist-get result :operation) :safety)))
                               (format "; the previous content is in the snapshot %s" safety)
                             "")))))

;;;###autoload
(defun nixvm-delete-snapshot (name snapshot)
  "Delete SNAPSHOT of the machine NAME."
  (interactive
   (let* ((name (nixvm--target "Delete a snapshot of" "delete-snapshot"))
          (snapshot (plist-get (nixvm--read-snapshot (format "Delete which snapshot of %s" name)
                                                     name)
                               :name)))
     (unless (y-or-n-p (format "Delete the snapshot %s of %s? " snapshot name)) (keyboard-quit))
     (list name snapshot)))
  (nixvm--begin "nixvm/snapshot/delete" (list :name name :snapshot snapshot)
                (format "Delete snapshot %s of %s" snapshot name) #'ignore))

;;;; The end of a machine

;;;###autoload
(defun nixvm-destroy (name &optional keep)
  "Undo the creation of the machine NAME: its VM, disks, snapshots and SSH names.
Its machine directory is deleted too if create made it, unless KEEP is non-nil,
interactively with a prefix argument.  The name must be typed to confirm."
  (interactive
   (let ((name (nixvm--target "Destroy" "destroy")))
     (nixvm--confirm-by-name
      name (format "The disks and snapshots of %s will be deleted; its machine directory %s." name
                   (cond (current-prefix-arg "is kept")
                         ((nixvm--true (plist-get (nixvm-machine name) :removesDirectory))
                          "too (use a prefix argument to keep it)")
                         (t "is kept, because create did not make it"))))
     (list name current-prefix-arg)))
  (nixvm--begin "nixvm/vm/destroy"
                (append (list :name name :confirm name) (and keep (list :keepMachine t)))
                (format "Destroy %s" name) #'ignore))

;;;###autoload
(defun nixvm-purge (name)
  "Destroy the machine NAME and delete its directory as well.
The name must be typed to confirm."
  (interactive
   (let ((name (nixvm--target "Purge" "purge")))
     (nixvm--confirm-by-name
      name (format "The disks, snapshots, settings and host key of %s will be deleted." name))
     (list name)))
  (nixvm--begin "nixvm/vm/purge" (list :name name :confirm name)
                (format "Purge %s" name) #'ignore))

;;;; Forwards

(defun nixvm--forwards (name)
  "The remote forwards of the machine NAME, as a list of plists."
  (append (plist-get (nixvm--call "nixvm/forward/list" (list :name name)) :forwards) nil))

(defun nixvm--forward-line (forward)
  "FORWARD as it is written in ssh_config."
  (concat (plist-get forward :listen) " " (plist-get forward :target)
          (and (nixvm--true (plist-get forward :daemon)) " daemon")))

(defun nixvm--whole-forward (text)
  "TEXT as after RemoteForward in ssh_config; a port alone means the same here."
  (let ((text (string-trim text)))
    (if (string-match-p "\\`[0-9]+\\'" text) (format "%s localhost:%s" text text) text)))

;;;###autoload
(defun nixvm-forward-add (name forward)
  "Make a port of this computer available in the machine NAME.
FORWARD is \"8080 localhost:80\": the port there, and where it leads here.
The syntax is that of RemoteForward in ssh_config; with \" daemon\" at the end,
the daemon holds it.  It applies at once."
  (interactive
   (let* ((name (nixvm--target "Forward to" "forward"))
          (there (mapconcat #'nixvm--forward-line (nixvm--forwards name) ", ")))
     (list name
           (nixvm--ask "forward" (list :name name) :forward
                       (lambda (typed problem)
                         (nixvm--whole-forward
                          (read-string
                           (nixvm--prompt
                            (format "Forward%s (PORT-THERE HOST:PORT-HERE)"
                                    (if (string-empty-p there) "" (format ", besides %s" there)))
                            nil problem)
                           typed)))))))
  (nixvm--async "nixvm/forward/add" (list :name name :forward (nixvm--whole-forward forward))
                (lambda (result) (nixvm--tell-forwards name result))
                (lambda (err) (nixvm--show-error err "Forward"))))

;;;###autoload
(defun nixvm-forward-remove (name forward)
  "Remove FORWARD of the machine NAME, also from open connections."
  (interactive
   (let* ((name (nixvm--target "Remove a forward of" "forward"))
          (forwards (or (nixvm--forwards name) (user-error "%s has no forwards" name)))
          (lines (mapcar (lambda (f) (cons (nixvm--forward-line f) f)) forwards))
          (completion-extra-properties
           (list :annotation-function
                 (lambda (line)
                   (let ((f (cdr (assoc line lines))))
                     (format "  %s %s" (plist-get f :state) (or (plist-get f :detail) "")))))))
     (list name (completing-read "Remove: " lines nil t nil nil (caar lines)))))
  (nixvm--async "nixvm/forward/remove" (list :name name :forward forward)
                (lambda (result) (nixvm--tell-forwards name result))
                (lambda (err) (nixvm--show-error err "Forward"))))

(defun nixvm--tell-forwards (name result)
  "Show the forwards of the machine NAME according to RESULT."
  (let ((forwards (append (plist-get result :forwards) nil)))
    (message "%s forwards %s" name
             (if (null forwards) "nothing"
               (mapconcat (lambda (f)
                            (concat (nixvm--forward-line f) " (" (plist-get f :state) ")"))
                          forwards ", ")))))

;;;; Other operations of the daemon

(defconst nixvm--own-verbs
  '("create" "attach" "console" "start" "resume" "stop" "reboot" "suspend" "snapshot"
    "restore-snapshot" "delete-snapshot" "backup" "restore-backup" "clone" "clone-snapshot" "migrate"
    "upgrade" "rollback"
    "recreate" "rename" "configure"
    "autostart" "passwd" "forward" "share" "pull" "cancel" "kill" "destroy" "purge" "delete")
  "The verbs of the daemon that have a command of their own, or need none.")

(defun nixvm--other-verbs (&optional machine)
  "The keys of operations, on MACHINE now, that have no command of their own."
  (cl-loop for verb in (nixvm--verbs)
           for key = (plist-get verb :key)
           when (and (nixvm--true (plist-get verb :operation))
                     (not (member key nixvm--own-verbs))
                     (nixvm--offered-p key machine))
           collect key))

;;;###autoload
(defun nixvm-operation (name verb &optional params)
  "Do VERB of the daemon with the machine NAME, e.g. \"resize\".
The verbs are those that can be done with it now and that have no command of
their own.  PARAMS are further params; what the daemon still needs is asked for."
  (interactive
   (let* ((name (progn (nixvm--ensure)
                       (or (nixvm--name-at-point) (nixvm-read-machine "Machine"))))
          (verbs (or (nixvm--other-verbs (nixvm-machine name))
                     (user-error "This nixvmd has no other operations on %s now" name))))
     (list name (completing-read (format "Operation on %s: " name) verbs nil t))))
  (let ((known (nixvm--verb verb)))
    (nixvm--begin (plist-get known :method) (append (list :name name) params)
                  (format "%s %s" (plist-get known :title) name) #'ignore
                  (lambda (err)
                    (nixvm--later #'nixvm--operation-again name verb params err)))))

(defun nixvm--operation-again (name verb params err)
  "Run VERB on the machine NAME again, with what is missing according to ERR.
PARAMS is what was sent."
  (let ((message (plist-get err :message)))
    (cond
     ((and (equal (plist-get err :code) "confirm.required") (not (plist-member params :confirm)))
      (nixvm--confirm-by-name name (format "%s has to be confirmed." (capitalize verb)))
      (nixvm-operation name verb (append params (list :confirm name))))
     ((and (equal (plist-get err :code) "params.invalid")
           (string-match "\\`\\([A-Za-z]+\\): is required" message))
      (let* ((field (match-string 1 message))
             (answer (read-string (format "%s: " field))))
        (unless (string-empty-p answer)
          (nixvm-operation name verb
                           (append params (list (intern (concat ":" field)) answer))))))
     ((and (equal (plist-get err :code) "params.invalid")
           (string-match "\\`\\([A-Za-z]+\\): must be an integer, not string" message))
      (let* ((key (intern (concat ":" (match-string 1 message))))
             (value (plist-get params key)))
        (when (stringp value)
          (nixvm-operation name verb
                           (plist-put (copy-sequence params) key (string-to-number value)))))))))

(provide 'nixvm)
;;; nixvm.el ends here
