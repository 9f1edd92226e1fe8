;;; nixvm-tramp.el --- Files of machines: /nixvm:NAME:/path  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; Two TRAMP methods.  `nixvm' is ssh to a machine by its name, over the
;; ControlMaster of the daemon's ssh configuration: TRAMP's own second
;; connection, which plain ssh makes, would take the machine's forwards away.
;; `nixvmcp' is the same with scp for large files; like all methods that copy
;; it cannot be one hop of several, which is why there are two.
;;
;; A file that is touched while its machine is off does not boot it by accident:
;; `nixvm-start-on-open' says what happens.

;;; Code:

(require 'nixvm-operation)
(require 'nixvm-ssh)
(require 'tramp)
(require 'tramp-sh)

(defvar remote-file-name-inhibit-locks)

(defconst nixvm-tramp-method "nixvm" "The TRAMP method of machines.")
(defconst nixvm-tramp-copy-method "nixvmcp" "The same, copying with scp.")

(defcustom nixvm-start-on-open 'ask
  "Whether to start a machine that is off when one of its files is opened.
Completion, recentf and other background accesses never start one."
  :type '(choice (const :tag "Ask" ask) (const :tag "Start" yes) (const :tag "Refuse" no))
  :group 'nixvm)

(defcustom nixvm-start-timeout 600
  "Seconds to wait for a machine that is started by opening a file."
  :type 'number
  :group 'nixvm)

;;;; The methods

(defconst nixvm-tramp--program "env"
  "The login program.  It marks connections of TRAMP for `nixvmd proxy'.")

(defun nixvm-tramp--arguments ()
  "The common part of both methods.
There is no \"%c\" on purpose: with it TRAMP adds ControlMaster options of its
own, regardless of the ssh configuration.  NIXVM_PROXY_START=no tells the
daemon's proxy not to start the machine: that is decided here, beforehand."
  `((tramp-login-program ,nixvm-tramp--program)
    (tramp-login-args (("NIXVM_PROXY_START=no") (,nixvm-ssh-program)
                       ("-l" "%u") ("-e" "none") ("%h")))
    (tramp-direct-async t)
    (tramp-remote-shell "/bin/sh")
    (tramp-remote-shell-login ("-l"))
    (tramp-remote-shell-args ("-c"))))

(defconst nixvm-tramp--copy-arguments
  '((tramp-copy-program "scp")
    (tramp-copy-args (("-p" "%k") ("-q") ("-r")))
    (tramp-copy-keep-date t)
    (tramp-copy-recursive t))
  "What `nixvmcp' has besides the common part.")

(defconst nixvm-tramp--profile
  '((shell-file-name . "/bin/sh")
    (shell-command-switch . "-c")
    ;; What NixOS has and TRAMP does not look into by itself.
    (tramp-remote-path . (tramp-own-remote-path "/run/wrappers/bin" "/run/current-system/sw/bin"
                                                "/usr/local/bin" "/usr/bin" "/bin")))
  "Connection-local variables of machines.")

;;;###autoload
(defun nixvm-tramp-setup ()
  "Teach TRAMP the methods of nixvm, and our names to the method ssh.
Doing it again changes nothing."
  (let ((common (nixvm-tramp--arguments)))
    (setf (alist-get nixvm-tramp-method tramp-methods nil nil #'equal) common)
    (setf (alist-get nixvm-tramp-copy-method tramp-methods nil nil #'equal)
          (append common nixvm-tramp--copy-arguments)))
  (dolist (method (list nixvm-tramp-method nixvm-tramp-copy-method))
    (tramp-set-completion-function method '((nixvm-tramp-completion-function "")))
    (connection-local-set-profiles (list :application 'tramp :protocol method)
                                   'nixvm-tramp-profile))
  (let ((ours '(nixvm-tramp-completion-function ""))
        (ssh (cdr (assoc "ssh" tramp-completion-function-alist))))
    (unless (member ours ssh)
      (tramp-set-completion-function "ssh" (append ssh (list ours)))))
  (advice-add 'tramp-file-name-handler :around #'nixvm-tramp--operation)
  (advice-add 'tramp-maybe-open-connection :before #'nixvm-tramp--before-open)
  (advice-add 'tramp-maybe-open-connection :after #'nixvm-tramp--after-open)
  (advice-add 'tramp-send-command-and-read :around #'nixvm-tramp--ask-stamp)
  (advice-add 'basic-save-buffer :around #'nixvm-tramp--saving)
  (advice-add 'server-execute :around #'nixvm-tramp--for-client))

(connection-local-set-profile-variables 'nixvm-tramp-profile nixvm-tramp--profile)

;;;###autoload
(defun nixvm-tramp-completion-function (&optional _file)
  "Return the (USER HOST) pairs of all machines, for TRAMP's completion.
They come from memory, and from the ssh configuration when there is nothing in
memory.  Nothing is asked and nothing waits."
  (ignore-errors
    (mapcar (lambda (host) (list nil host))
            (or (mapcan (lambda (m) (delq nil (list (plist-get m :sshHost) (plist-get m :adminHost))))
                        (nixvm-machines))
                (nixvm-tramp--configured-hosts)))))

(defun nixvm-tramp--configured-hosts ()
  "The hosts of the ssh configuration that the daemon has written."
  (let ((file (nixvm-ssh-config-file)) hosts)
    (when (and file (file-readable-p file))
      (with-temp-buffer
        (insert-file-contents file)
        (while (re-search-forward "^Host \\([^ \n]+\\)$" nil t)
          (push (match-string 1) hosts))))
    (nreverse hosts)))

(defun nixvm-tramp-name (machine &optional directory method)
  "Return the TRAMP name of DIRECTORY in MACHINE with METHOD (default \"nixvm\")."
  (format "/%s:%s:%s" (or method nixvm-tramp-method)
          (nixvm--host machine)
          (or directory "/home/user/")))

(defun nixvm-tramp--entrance (vec)
  "Return (METHOD HOST USER), the first hop of a connection to VEC.
USER is nil unless the name says it."
  (let ((hop (tramp-file-name-hop vec)))
    (if (and hop (string-match "\\`\\([^:|]+\\):\\(?:\\([^:|@]+\\)@\\)?\\([^:|#%]+\\)" hop))
        (list (match-string 1 hop) (match-string 3 hop) (match-string 2 hop))
      (list (tramp-file-name-method vec) (tramp-file-name-host vec) (tramp-file-name-user vec)))))

(defun nixvm-tramp--destination (host user)
  "What ssh is told to connect to for HOST and USER, which may be nil.
Every account has a shared connection of its own."
  (if user (format "%s@%s" user host) host))

;;;; Before a connection is opened

(defun nixvm-tramp--completing-p ()
  "Whether the user is completing a file name, rather than opening a file.
That is what an active minibuffer says; the current buffer is TRAMP's own in the
middle of an operation."
  (when-let ((window (active-minibuffer-window)))
    (eq window (selected-window))))

(defun nixvm-tramp--starting-up-p ()
  "Whether Emacs is starting: the user waits for it, but has done nothing yet."
  (and (null this-command) (null real-last-command)))

(defun nixvm-tramp--for-client (execute &rest args)
  "Call EXECUTE, which is `server-execute', with ARGS.
What a user of emacsclient wants runs in a process filter, but is a command."
  (let ((this-command (or this-command 'server-visit-files))) (apply execute args)))

(defun nixvm-tramp--before-open (vec)
  "Have the machine of VEC up and ssh connected before TRAMP connects to it.
A machine that is off is started, or not, as `nixvm-start-on-open' says.
There is no hook of TRAMP for this; all its ways to a connection, also that in
the middle of an operation, lead through the advised function.

A connection takes seconds, so that only a command makes one, or a session that
is restored as Emacs starts; a timer or a hook is refused."
  (pcase-let* ((`(,method ,host ,user) (nixvm-tramp--entrance vec))
               (destination (nixvm-tramp--destination host user))
               ;; TRAMP's hook tells the user of every error, also of one that is
               ;; expected and handled.
               (signal-hook-function nil))
    (when (and (member method (list nixvm-tramp-method nixvm-tramp-copy-method))
               (not (process-live-p (tramp-get-connection-process vec))))
      (let ((asked (and this-command (not non-essential))))
        (nixvm-tramp--know host asked)
        (if-let ((machine (nixvm--machine-of-host host)))
            (nixvm-tramp--have-up machine)
          (nixvm-tramp--no-machine host))
        (unless non-essential
          (unless (or asked (nixvm-tramp--starting-up-p)
                      (nixvm-tramp--auto-save-may-connect-p destination))
            (nixvm-tramp--refuse "There is no connection to %s; opening or saving a file makes one"
                                 host))
          (when-let ((err (nixvm--preflight-wait destination)))
            (nixvm-tramp--refuse "%s" (nixvm--error-text err))))
        ;; TRAMP suppresses what follows the death of a connection, and takes
        ;; the file for one of this computer.  It is known to work by now.
        (setq tramp-current-connection nil)
        (unless (tramp-file-name-hop vec)
          (pcase-dolist (`(,property . ,value) (cdr (assoc destination nixvm--connected-hosts)))
            (tramp-set-connection-property vec property value)))))))

(defvar nixvm-tramp--save)

(defvar nixvm-tramp--connecting nil
  "Destinations of ssh that a save has begun to connect to in the background.")

(defun nixvm-tramp--auto-save-may-connect-p (destination)
  "Whether a save by a timer may connect to DESTINATION.
That is one of `auto-save-visited-mode', after the connection was lost.  It may
over a shared connection that is there, which is quick.  Else that is made
first, in the background, and the buffers are saved afterwards."
  (when nixvm-tramp--save
    (or (assoc destination nixvm--connected-hosts)
        (progn (nixvm-tramp--connect-to-save destination) nil))))

(defun nixvm-tramp--connect-to-save (destination)
  "Connect to DESTINATION without waiting, then save what is to be saved there."
  (unless (member destination nixvm-tramp--connecting)
    (push destination nixvm-tramp--connecting)
    (cl-flet ((ended () (setq nixvm-tramp--connecting
                              (delete destination nixvm-tramp--connecting))))
      (nixvm--preflight destination
                        (lambda ()
                          (ended)
                          (nixvm--later #'nixvm-tramp--auto-save (nixvm--host-part destination)))
                        (lambda (err)
                          (ended)
                          (nixvm--show-error err (format "Save files of %s" destination)))))))

(defun nixvm-tramp--auto-save (host)
  "Save the changed files of HOST whose buffers are in `auto-save-visited-mode'."
  (dolist (buffer (buffer-list))
    (with-current-buffer buffer
      (when (and auto-save-visited-mode buffer-file-name (buffer-modified-p)
                 (string-match-p (nixvm-tramp--ours) buffer-file-name)
                 (equal host (file-remote-p buffer-file-name 'host)))
        (condition-case err
            (basic-save-buffer nil)
          (error (message "Saving %s: %s" (buffer-name) (error-message-string err))))))))

(defun nixvm-tramp--after-open (vec)
  "Take note when the ssh of VEC ends by itself.
Then the connection that it shared has ended too, or leads nowhere; one that
TRAMP ends says nothing of that."
  (pcase-let ((`(,method ,host . ,_) (nixvm-tramp--entrance vec))
              (process (tramp-get-connection-process vec)))
    (when (and (member method (list nixvm-tramp-method nixvm-tramp-copy-method))
               (process-live-p process)
               (not (process-get process 'nixvm-watched)))
      (process-put process 'nixvm-watched t)
      (add-function :after (process-sentinel process)
                    (lambda (process _event)
                      (when (eq (process-status process) 'exit)
                        (nixvm--forget-host host)))))))

(defun nixvm-tramp--know (host asked)
  "Know the machine HOST as it is now.
Who has ASKED waits for the daemon, which is started if need be.  Else there is
no waiting, and one that does not run is left alone."
  (cond (asked (nixvm-tramp--ask-daemon host))
        (non-essential)
        ((nixvm--machine-of-host host))
        (t (let ((nixvm-start-daemon nil) (nixvm-connect-timeout 0.1))
             (ignore-error user-error (nixvm--ensure))))))

(defun nixvm-tramp--ask-daemon (host)
  "Know the machines, even when this is the first that Emacs does with them.
In the middle of an operation of TRAMP nothing else is read: the daemon may have
told long ago that HOST is gone, and we do not know.  Hence it is asked."
  (condition-case err
      (let ((nixvm-request-timeout (min 5 nixvm-request-timeout)))
        (nixvm--ensure)
        (when-let ((machine (nixvm--machine-of-host host)))
          (nixvm--did-change
           (list :changed (vector (plist-get (nixvm--call "nixvm/machine/get"
                                                          (list :name (plist-get machine :name)))
                                             :machine))))))
    (user-error
     (unless (nixvm--machine-of-host host)
       (nixvm-tramp--refuse "%s" (cadr err))))))

(defun nixvm-tramp--no-machine (host)
  "Refuse HOST, of which nothing is known."
  (cond (non-essential (throw 'non-essential 'non-essential))
        ((nixvm--live)
         (nixvm-tramp--refuse "There is no machine %s; %s" host
                              (substitute-command-keys "\\[nixvm] lists them")))
        (t (nixvm-tramp--refuse "%s" (nixvm--error-text
                                      (or nixvm--connection-error
                                          (nixvm--problem "daemon.unreachable"
                                                          "There is no connection to nixvmd")))))))

(defun nixvm-tramp--have-up (machine)
  "Return when MACHINE is up; signal why not if it is not and shall not be."
  (let ((op (nixvm--operation-of machine))
        (name (plist-get machine :name)))
    (cond
     ((and (nixvm--up-p machine) (not (nixvm--disruptive-p op))))
     ((or non-essential (nixvm-tramp--completing-p))
      (throw 'non-essential 'non-essential))
     ((and op (not (member (plist-get op :kind) '("start" "resume" "create"))))
      (nixvm-tramp--refuse "%s is busy: %s" name (nixvm--progress-text op)))
     ((not (nixvm--exists-p machine))
      (nixvm-tramp--refuse "%s has no VM; %s" name
                           (substitute-command-keys "\\[nixvm-create] creates it")))
     ((nixvm-tramp--may-start-p machine)
      (nixvm-tramp--start machine))
     (t
      (nixvm-tramp--refuse "%s is %s; %s" name (nixvm--state machine)
                           (substitute-command-keys "\\[nixvm-start] starts it"))))))

(defvar nixvm-tramp--in-operation nil
  "The file operation of TRAMP that is going on, with its arguments, or nil.")

(defun nixvm-tramp--refuse (format &rest args)
  "Signal that a file cannot be had, for the reason FORMAT with ARGS.
Inside an operation it is signalled from the operation as a whole: TRAMP takes
an error in the middle for the lack of some command in the guest, and goes on
to say so."
  (let ((reason (apply #'format format args)))
    (if nixvm-tramp--in-operation
        (throw 'nixvm-tramp--refused reason)
      (signal 'remote-file-error (list reason)))))

(defun nixvm-tramp--operation (handler &rest args)
  "Call HANDLER, which is TRAMP's, with ARGS; signal what was refused meanwhile."
  (cond
   ((nixvm-tramp--needless-p args) nil)
   (nixvm-tramp--in-operation
    (nixvm-tramp--look-ahead args)
    (nixvm-tramp--apply handler args))
   (t
    (let* (value
           (reason (catch 'nixvm-tramp--refused
                     (let ((nixvm-tramp--in-operation args))
                       (nixvm-tramp--look-ahead args)
                       (setq value (nixvm-tramp--apply handler args)))
                     nil)))
      (when reason (signal 'remote-file-error (list reason)))
      value))))

(defvar nixvm-tramp--declined nil
  "The machines that the present command does not start, by name.
One command touches files many times, but its user is asked once.")

(defun nixvm-tramp--decline (machine)
  "Take note that the present command shall not start MACHINE."
  (push (plist-get machine :name) nixvm-tramp--declined)
  (add-hook 'pre-command-hook #'nixvm-tramp--next-command))

(defun nixvm-tramp--next-command ()
  "Forget what the command before was told, unless this one is part of it."
  (when (zerop (minibuffer-depth))
    (remove-hook 'pre-command-hook #'nixvm-tramp--next-command)
    (setq nixvm-tramp--declined nil)))

(defun nixvm-tramp--may-start-p (machine)
  "Whether MACHINE may be started because the user opens a file."
  (and this-command ; a timer or a hook is not worth a question
       (not (member (plist-get machine :name) nixvm-tramp--declined))
       (pcase nixvm-start-on-open
         ('yes t)
         ('ask (and (not (memq this-command '(kill-buffer kill-this-buffer kill-current-buffer
                                                          save-buffers-kill-emacs
                                                          save-buffers-kill-terminal)))
                    (or (y-or-n-p (format "%s is %s.  Start it? " (plist-get machine :name)
                                          (nixvm--state machine)))
                        (progn (nixvm-tramp--decline machine) nil)))))))

(defun nixvm-tramp--start (machine)
  "Start MACHINE and wait until it is ready.  \\[keyboard-quit] cancels the start."
  (let* ((done nil)
         (name (plist-get machine :name))
         (work (nixvm--begin (nixvm--start-method machine) (list :name name) (format "Start %s" name)
                             (lambda (_) (setq done 'ready))
                             (lambda (err) (setq done (nixvm--error-text err))))))
    (condition-case nil
        (nixvm--wait-until (lambda () done) nixvm-start-timeout)
      (quit (nixvm--cancel-work work) (signal 'quit nil)))
    (unless (eq done 'ready)
      (nixvm-tramp--decline machine)
      (nixvm-tramp--refuse "%s does not start: %s" name (or done "it took too long")))))

;;;; What was last known of a file

;; TRAMP knows the times of files to the second, and takes two for the same that
;; are less than two seconds apart.  An agent writes that soon after a save, and
;; the next save would overwrite it.  So what a visited file was when it was read
;; or written is remembered exactly: its size, its inode, and its time to the
;; nanosecond.  That costs nothing: it is asked along with what TRAMP asks anyway.

(defvar-local nixvm-tramp--stamp nil
  "What the visited file was when it was read or written last, or nil.
It is (FILE . STAMP), where STAMP is what stat(1) has said in the guest.")
(put 'nixvm-tramp--stamp 'permanent-local t)

(defvar nixvm-tramp--stamping nil
  "While the attributes of a visited file are asked (FILE . STAMP), else nil.
STAMP is nil until the guest has said it.")

(defun nixvm-tramp--ask-stamp (send vec command &rest args)
  "Call SEND, which is `tramp-send-command-and-read', with VEC, COMMAND and ARGS.
What `nixvm-tramp--stamping' wants to know is asked by the same command."
  (if (null nixvm-tramp--stamping)
      (apply send vec command args)
    (prog1 (apply send vec
                  (format "%s; nixvm_status=$?; stat -c 'nixvm-stamp %%s %%i %%y' %s 2>/dev/null; (exit $nixvm_status)"
                          command
                          (tramp-shell-quote-argument
                           (file-local-name (car nixvm-tramp--stamping))))
                  args)
      (with-current-buffer (tramp-get-connection-buffer vec)
        (save-excursion
          (goto-char (point-min))
          (when (re-search-forward "^nixvm-stamp \\([0-9]+ [0-9]+ .+\\)$" nil t)
            (setcdr nixvm-tramp--stamping (match-string-no-properties 1))))))))

(defun nixvm-tramp--apply (handler args)
  "Call HANDLER, which is TRAMP's, with ARGS; note what a visited file is."
  (pcase args
    (`(verify-visited-file-modtime ,buffer) (nixvm-tramp--verify handler buffer))
    ('(verify-visited-file-modtime) (nixvm-tramp--verify handler nil))
    ((or '(set-visited-file-modtime) '(set-visited-file-modtime nil))
     (nixvm-tramp--noting (buffer-file-name) (lambda () (apply handler args))))
    (`(file-attributes ,(and (pred stringp) file) . ,_)
     ;; What has just been written: TRAMP sets the time of the buffer by it.
     (if (and buffer-file-name (nixvm-tramp--writing-p file))
         (nixvm-tramp--noting file (lambda () (apply handler args)))
       (apply handler args)))
    (_ (apply handler args))))

(defun nixvm-tramp--writing-p (file)
  "Whether the operation is a write to FILE, which the current buffer visits."
  (pcase nixvm-tramp--in-operation
    (`(write-region ,_ ,_ ,name ,_ ,visit . ,_)
     (and (or (eq visit t) (stringp visit))
          (string-match-p (nixvm-tramp--ours) file)
          (equal (expand-file-name file) (expand-file-name name))))))

(defun nixvm-tramp--noting (file function)
  "Call FUNCTION, which asks for the attributes of FILE; remember what FILE is.
Without a new answer of the guest what is remembered stays."
  (if (not (and file (string-match-p (nixvm-tramp--ours) file)))
      (funcall function)
    (let ((nixvm-tramp--stamping (list file)))
      (prog1 (funcall function)
        (when (cdr nixvm-tramp--stamping)
          (setq nixvm-tramp--stamp nixvm-tramp--stamping))))))

(defun nixvm-tramp--same-p (handler buffer)
  "Whether the file of BUFFER is what it was; HANDLER is TRAMP's, whose rule it is.
What is remembered exactly counts more, if the guest says as much now."
  (let* ((nixvm-tramp--stamping (list (buffer-file-name buffer)))
         (same (funcall handler 'verify-visited-file-modtime buffer))
         (stamp (buffer-local-value 'nixvm-tramp--stamp buffer)))
    (if (and (cdr nixvm-tramp--stamping) (equal (car stamp) (car nixvm-tramp--stamping)))
        (equal (cdr stamp) (cdr nixvm-tramp--stamping))
      same)))

;;;; Saving

(defvar nixvm-tramp--save nil
  "While a buffer is being saved the list (CHECK), else nil.
CHECK is (PROCESS . BUFFER) once it is known over the connection PROCESS whether
the file of BUFFER has changed since it was visited.")

(defun nixvm-tramp--saving (save &rest args)
  "Call SAVE, which is `basic-save-buffer', with ARGS.
Its operations know that they belong to a save."
  (let ((nixvm-tramp--save (list nil))) (apply save args)))

(defun nixvm-tramp--verify (handler buffer)
  "Call HANDLER, which is TRAMP's, for `verify-visited-file-modtime' of BUFFER.
TRAMP takes a file that it is not connected to for unchanged.  A save connects
anyway, so it does so first: after an interruption the guest may hold what an
agent has written, or what was restored from a snapshot."
  (let* ((buffer (or buffer (current-buffer)))
         (file (buffer-file-name buffer)))
    (cond
     ((not (and file (string-match-p (nixvm-tramp--ours) file)))
      (funcall handler 'verify-visited-file-modtime buffer))
     ((not nixvm-tramp--save)
      (nixvm-tramp--same-p handler buffer))
     (t
      (let ((vec (tramp-dissect-file-name (expand-file-name file))))
        (catch 'suppress
          (catch 'non-essential (tramp-maybe-open-connection vec)))
        (let ((process (tramp-get-connection-process vec)))
          (prog1 (nixvm-tramp--same-p handler buffer)
            (when (process-live-p process)
              (setcar nixvm-tramp--save (cons process buffer))))))))))

(defun nixvm-tramp--verified-p (file)
  "Whether the present save has asked the guest if FILE has changed.
What was asked over another connection does not count: the guest may have been
another one in between."
  (pcase (car nixvm-tramp--save)
    (`(,process . ,buffer)
     (and (eq buffer (current-buffer))
          (process-live-p process)
          (eq process (tramp-get-connection-process (tramp-dissect-file-name file)))))))

;;;; Fast

(defun nixvm-tramp--ours ()
  "A regexp for the names of files of machines."
  (format "\\`/%s\\(?:cp\\)?:" nixvm-tramp-method))

(defun nixvm-tramp--backup-p (name)
  "Whether the file NAME may have a backup: those of machines have snapshots."
  (not (string-match-p (nixvm-tramp--ours) name)))

(defvar nixvm-tramp--fast nil "Non-nil after `nixvm-tramp-fast'.")

(defun nixvm-tramp--needless-p (args)
  "Whether ARGS, an operation, is of no use, so that its value is nil.
`save-buffer' asks whether the file has changed since it was visited.  Locking
it before it is written asks that again, though nothing is locked.  Only what
has been asked over this very connection is not asked again.

Whether a file is under version control is asked by its mode line.  The root of
a repository is found all the same, for `project-current' and others."
  (and nixvm-tramp--fast
       (pcase args
         (`(vc-registered ,(and (pred stringp) file))
          (string-match-p (nixvm-tramp--ours) file))
         (`(lock-file ,(and (pred stringp) file))
          (and remote-file-name-inhibit-locks
               (string-match-p (nixvm-tramp--ours) file)
               (nixvm-tramp--verified-p file)
               (pcase nixvm-tramp--in-operation
                 ;; What is written is a buffer, to the file that it visits.
                 (`(write-region nil ,_ ,_ ,_ t . ,_) t)))))))

(defun nixvm-tramp--look-ahead (args)
  "Ask what TRAMP needs for ARGS, an operation, with one cheap command.
`save-buffer' wants to know whether the directory is there, and whether it and
the file can be written.  For the latter TRAMP runs four programs in the guest,
where the shell alone can tell; and what can be written is there."
  (pcase args
    ((or `(file-writable-p ,(and (pred stringp) name))
         `(file-exists-p ,(and (pred stringp) (pred directory-name-p) name)))
     (when (and nixvm-tramp--fast (not non-essential) (string-match-p (nixvm-tramp--ours) name))
       (with-parsed-tramp-file-name (expand-file-name name) nil
         (when (and (process-live-p (tramp-get-connection-process v))
                    (eq 'unknown (tramp-get-file-property v localname "file-writable-p" 'unknown))
                    (tramp-send-command-and-check
                     v (format "test -w %s" (tramp-shell-quote-argument localname))))
           (tramp-set-file-property v localname "file-exists-p" t)
           (tramp-set-file-property v localname "file-writable-p" t)))))))

;;;###autoload
(defun nixvm-tramp-fast ()
  "Make files of machines faster: no VC, no lock files, no backups.
It holds for this session.
These settings reach beyond nixvm, so they are never set automatically.
VC, the version control of the mode line, is switched off for /nixvm: files
only, backups as well; lock files for all remote files.  Projects, Magit and git
itself work as before.  Put the call into your init file to keep it.

Saving asks once, and not twice, whether the file has changed since it was
visited, as it does where there are lock files.

On a near machine the second file of a repository opens three times as fast."
  (interactive)
  (setq remote-file-name-inhibit-locks t
        nixvm-tramp--fast t)
  (add-function :before-while (var backup-enable-predicate) #'nixvm-tramp--backup-p)
  (message "Files of machines: no VC, no lock files, no backups in this session"))

;; At the end: TRAMP takes only functions that are defined by then.
;;;###autoload
(with-eval-after-load 'tramp (nixvm-tramp-setup))

(provide 'nixvm-tramp)
;;; nixvm-tramp.el ends here
