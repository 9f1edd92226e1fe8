;;; nixvm-ssh.el --- The ssh connection that everything shares  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; TRAMP, terminals and agents, and the user's own ssh, share one connection to
;; a machine: the ControlMaster of the daemon's ssh configuration.  The first
;; user of it opens it, which takes seconds in an emulated guest that has just
;; booted.  A preflight does that without Emacs waiting, and brings ssh's own
;; error message, of which TRAMP would say only that it failed to connect.

;;; Code:

(require 'nixvm-state)

(defcustom nixvm-ssh-program "ssh"
  "The ssh program, for the TRAMP methods, terminals and agents."
  :type 'string
  :group 'nixvm)

(defcustom nixvm-preflight-timeout 120
  "Seconds that ssh may take to connect before a buffer is opened."
  :type 'number
  :group 'nixvm)

(defvar nixvm--connected-hosts nil
  "Alist of (HOST . IDENTITY): hosts whose shared connection we have seen to work.
HOST may have a user before it, as ssh takes it.  IDENTITY is the value of
`nixvm--identity'.  A host leaves the list when its machine goes away.")

(defun nixvm--identity (text)
  "Return the account in a guest according to TEXT, the output of id(1) there.
It is an alist of connection properties of TRAMP, each of which TRAMP would ask
for by a command of its own."
  (when (string-match "^uid=\\([0-9]+\\)(\\([^()\n]+\\)) gid=\\([0-9]+\\)(\\([^()\n]+\\))" text)
    `(("uid-integer" . ,(string-to-number (match-string 1 text)))
      ("uid-string" . ,(match-string 2 text))
      ("gid-integer" . ,(string-to-number (match-string 3 text)))
      ("gid-string" . ,(match-string 4 text)))))

(defun nixvm--host (machine)
  "The name under which ssh knows MACHINE."
  (or (plist-get machine :sshHost) (plist-get machine :name)))

(defun nixvm--ssh (host command then fail)
  "Run COMMAND on HOST over the shared ssh connection, which is opened if need be.
Call THEN with its output; if that fails call FAIL with an error plist.  Never
wait; return the process, or nil if there is none."
  (nixvm--locally
    (let ((process-environment (cons "NIXVM_PROXY_START=no" process-environment))
          (buffer (generate-new-buffer " *nixvm-preflight*")))
      (condition-case err
          (let ((process
                 (make-process
                  :name "nixvm-preflight" :noquery t :connection-type 'pipe :buffer buffer
                  :coding 'utf-8-unix
                  :command (list nixvm-ssh-program "-o" "BatchMode=yes"
                                 "-o" (format "ConnectTimeout=%d" nixvm-preflight-timeout)
                                 host command)
                  :sentinel #'nixvm--ssh-ended)))
            (process-put process 'nixvm-machine (plist-get (nixvm--machine-of-host (nixvm--host-part host)) :name))
            (process-put process 'nixvm-host host)
            (process-put process 'nixvm-then then)
            (process-put process 'nixvm-fail fail)
            process)
        (error
         (kill-buffer buffer)
         (funcall fail (nixvm--problem "ssh.unreachable" (error-message-string err)
                                       "is ssh installed?"))
         nil)))))

(defun nixvm--ssh-ended (process _event)
  "Report how PROCESS, a command in a guest, ended."
  (unless (process-live-p process)
    (let* ((buffer (process-buffer process))
           (host (process-get process 'nixvm-host))
           (status (process-exit-status process))
           (said (if (buffer-live-p buffer)
                     (with-current-buffer buffer (buffer-string))
                   ""))
           (reason (replace-regexp-in-string "[\r\n]+" "; " (string-trim said)))
           (fail (process-get process 'nixvm-fail)))
      (when (buffer-live-p buffer) (kill-buffer buffer))
      (with-demoted-errors "nixvm: %S"
        (cond
         ((eq (process-status process) 'signal)
          (funcall fail (nixvm--problem "ssh.unreachable"
                                        (format "the connection to %s was closed" host))))
         ((zerop status)
          (funcall (process-get process 'nixvm-then) said))
         ((= status 255)
          (funcall fail (nixvm--problem
                         "ssh.unreachable"
                         (format "ssh cannot connect to %s: %s" host
                                 (if (string-empty-p reason) "no reason given" reason))
                         (substitute-command-keys "\\[nixvm-doctor] checks the configuration"))))
         (t
          (funcall fail (nixvm--problem "guest.failed" (if (string-empty-p reason)
                                                           (format "%s ended with %d" host status)
                                                         reason)))))))))

(defun nixvm--preflight (host then fail)
  "Open the shared ssh connection to HOST; then call THEN without arguments.
FAIL and the value are as in `nixvm--ssh'."
  (nixvm--ssh host "id"
              (lambda (said)
                (setf (alist-get host nixvm--connected-hosts nil nil #'equal)
                      (nixvm--identity said))
                (funcall then))
              fail))

(defun nixvm--preflight-wait (host)
  "Have the shared ssh connection to HOST; return nil, or what is wrong.
Wait for it unless it is known to work.  \\[keyboard-quit] ends the wait.
Only for the top of an interactive command."
  (unless (assoc host nixvm--connected-hosts)
    (let* (done
           (process (nixvm--preflight host (lambda () (setq done '(nil)))
                                      (lambda (err) (setq done (list err))))))
      (message "Connecting to %s..." host)
      (condition-case nil
          (nixvm--wait-until (lambda () done) (+ nixvm-preflight-timeout 10))
        (quit (when process (delete-process process))
              (signal 'quit nil)))
      (if done (car done)
        (delete-process process)
        (nixvm--problem "ssh.unreachable" (format "ssh to %s does not answer" host))))))

(defun nixvm--host-part (destination)
  "DESTINATION of ssh without the user."
  (replace-regexp-in-string "\\`.*@" "" destination))

(defun nixvm--forget-host (host)
  "Take note that the shared connections to HOST, of all accounts, are gone."
  (setq nixvm--connected-hosts
        (cl-remove host nixvm--connected-hosts
                   :key (lambda (entry) (nixvm--host-part (car entry))) :test #'equal)))

(provide 'nixvm-ssh)
;;; nixvm-ssh.el ends here
