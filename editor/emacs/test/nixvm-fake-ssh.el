;;; nixvm-fake-ssh.el --- A scripted ssh, for tests of files  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Commentary:

;; An ssh that is a local shell, or that fails as it is told, stands for the
;; guest: the login dialogue, the methods and the file operations are TRAMP's.

;;; Code:

(require 'ert)
(require 'dired)
(require 'nixvm-fake)

(defvar nixvm-tramp-test-directory nil "Directory of the scripted ssh.")

(defmacro nixvm-tramp-test-with (machines &rest body)
  "Run BODY with MACHINES and an ssh that runs commands on this machine.
Its arguments are written to the file log; a file named error makes it fail
with that text."
  (declare (indent 1) (debug t))
  `(nixvm-fake-with ,machines
     (let* ((nixvm-tramp-test-directory (make-temp-file "nixvm" t))
            (nixvm-ssh-program (expand-file-name "ssh" nixvm-tramp-test-directory))
            (tramp-verbose 0) (nixvm-directories (list (cons t nixvm-tramp-test-directory)))
            (enable-remote-dir-locals nil) (vc-handled-backends nil)
            (nixvm-start-on-open 'yes) (this-command 'find-file)
            (tramp-persistency-file-name nil))
       (nixvm-tramp-test-write-ssh)
       (nixvm-tramp-setup)
       (nixvm-fake-on "nixvm/attach"
                      (lambda (params &rest _)
                        (list :name (plist-get params :name) :tramp
                              (format "/nixvm:%s:%s" (plist-get params :name)
                                      (plist-get params :directory)))))
       (unwind-protect (progn (nixvm--ensure) ,@body)
         (dolist (m (nixvm-machines))
           (nixvm-tramp-forget m)
           (dolist (b (nixvm-tramp--buffers m))
             ;; Without locks first: one would be removed now, in the guest.
             (with-current-buffer b (setq-local remote-file-name-inhibit-locks t)
                                  (set-buffer-modified-p nil))
             (let (kill-buffer-query-functions) (kill-buffer b))))
         (delete-directory nixvm-tramp-test-directory t)))))

(defun nixvm-tramp-test-write-ssh ()
  "Write the scripted ssh."
  (write-region
   "#!/bin/sh
# Stands for ssh: logs its arguments, then runs a shell here.
dir=$(dirname \"$0\")
echo \"start=$NIXVM_PROXY_START $*\" >>\"$dir/log\"
if [ -e \"$dir/error\" ]; then cat \"$dir/error\" >&2; exit 255; fi
while [ $# -gt 0 ]; do
  case $1 in
    -o | -l | -e) shift 2 ;;
    -*) shift ;;
    *) break ;;
  esac
done
shift
[ \"$1\" != -- ] || shift
if [ $# -gt 0 ]; then exec sh -c \"$*\"; fi
exec sh
" nil nixvm-ssh-program nil 'silent)
  (set-file-modes nixvm-ssh-program #o755))

(defun nixvm-tramp-test-log ()
  "The lines that the scripted ssh has written."
  (let ((file (expand-file-name "log" nixvm-tramp-test-directory)))
    (and (file-exists-p file)
         (with-temp-buffer (insert-file-contents file) (split-string (buffer-string) "\n" t)))))

(defun nixvm-tramp-test-name (file)
  "The TRAMP name of FILE in the machine demo."
  (format "/nixvm:demo:%s/%s" nixvm-tramp-test-directory file))

(provide 'nixvm-fake-ssh)
;;; nixvm-fake-ssh.el ends here
