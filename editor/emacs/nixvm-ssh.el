;;; nixvm-ssh.el --- The ssh connection that everything shares  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; TRAMP, terminals and agents, and the user's own ssh, share one connection to
;; a machine: the ControlMaster of the daemon's ssh configuration.  Whoever
;; comes first opens it, which takes seconds in an emulated guest that has just
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
IDENTITY is as `nixvm--identity' returns it.  A host leaves the list when its
machine goes away.")

(defun nixvm--identity (text)
  "Return who we are in a guest according to TEXT, the output of id(1) there.
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

(defun nixvm--preflight (host then fail)
  "Open the shared ssh connection to HOST; then call THEN.
If that fails call FAIL with an error plist.  Never wait; return the process, or
nil if there is none."
  (nixvm--locally
    (let ((process-environment (cons "NIXVM_PROXY_START=no" process-environment))
          (buffer (generate-new-buffer " *nixvm-preflight*")))
      (condition-case err
          (let ((process
                 (make-process
                  :name "nixvm-preflight" :noquery t :connection-type 'pipe :buffer buffer
                  :command (list nixvm-ssh-program "-o" "BatchMode=yes"
                                 "-o" (format "ConnectTimeout=%d" nixvm-preflight-timeout)
                                 host "id")
                  :sentinel #'nixvm--preflight-ended)))
            (process-put process 'nixvm-machine (plist-get (nixvm--machine-of-host host) :name))
            (process-put process 'nixvm-host host)
            (process-put process 'nixvm-then then)
            (process-put process 'nixvm-fail fail)
            process)
        (error
         (kill-buffer buffer)
         (funcall fail (nixvm--problem "ssh.unreachable" (error-message-string err)
                                       "is ssh installed?"))
         nil)))))

(defun nixvm--preflight-ended (process _event)
  "Report how the preflight PROCESS ended."
  (unless (process-live-p process)
    (let* ((buffer (process-buffer process))
           (host (process-get process 'nixvm-host))
           (said (if (buffer-live-p buffer)
                     (with-current-buffer buffer (string-trim (buffer-string)))
                   "")))
      (when (buffer-live-p buffer) (kill-buffer buffer))
      (with-demoted-errors "nixvm: %S"
        (cond
         ((eq (process-status process) 'signal)
          (funcall (process-get process 'nixvm-fail)
                   (nixvm--problem "ssh.unreachable"
                                   (format "the connection to %s was closed" host))))
         ((zerop (process-exit-status process))
          (setf (alist-get host nixvm--connected-hosts nil nil #'equal) (nixvm--identity said))
          (funcall (process-get process 'nixvm-then)))
         (t
          (funcall (process-get process 'nixvm-fail)
                   (nixvm--problem
                    "ssh.unreachable"
                    (format "ssh cannot connect to %s: %s" host
                            (if (string-empty-p said) "no reason given"
                              (replace-regexp-in-string "[\r\n]+" "; " said)))
                    (substitute-command-keys "\\[nixvm-doctor] checks the configuration")))))))))

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

(defun nixvm--forget-host (host)
  "Take note that the shared connection to HOST is gone."
  (setf (alist-get host nixvm--connected-hosts nil t #'equal) nil))

(provide 'nixvm-ssh)
;;; nixvm-ssh.el ends here
