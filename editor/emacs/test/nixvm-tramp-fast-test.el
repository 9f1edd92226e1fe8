;;; nixvm-tramp-fast-test.el --- Saving files of machines, the fast way too  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Commentary:

;; What a save asks, and what it must never overwrite.

;;; Code:

(require 'ert)
(require 'project)
(require 'vc)
(require 'nixvm-fake-ssh)

(defmacro nixvm-tramp-test-fast (&rest body)
  "Run BODY with what `nixvm-tramp-fast' sets, and take it back."
  (declare (indent 0) (debug t))
  `(let ((remote-file-name-inhibit-locks nil) (nixvm-tramp--fast nil)
         (backup-enable-predicate backup-enable-predicate)
         (inhibit-message t))
     (nixvm-tramp-fast)
     ,@body))

(defun nixvm-tramp-test-save ()
  "Save the current buffer; return the commands that TRAMP sends for it."
  (let (commands)
    (cl-letf* ((send (symbol-function 'tramp-send-command))
               ((symbol-function 'tramp-send-command)
                (lambda (vec command &rest args)
                  (push command commands)
                  (apply send vec command args))))
      (save-buffer))
    (nreverse commands)))

(ert-deftest nixvm-tramp-fast-saves-with-few-questions-and-sees-a-change ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (let ((file (nixvm-tramp-test-name "f.txt"))
          (local (expand-file-name "f.txt" nixvm-tramp-test-directory))
          (stat "stat -c\\|tramp_stat_file_attributes ")
          usual fast)
      (write-region "one\n" nil local nil 'silent)
      (with-current-buffer (find-file-noselect file)
        (insert "two\n")
        (setq usual (nixvm-tramp-test-save))
        (nixvm-tramp-test-fast
          (insert "three\n")
          (nixvm-tramp-test-save) ; removes the lock
          (insert "four\n")
          (setq fast (nixvm-tramp-test-save)))
        (should (< (length fast) (length usual)))
        ;; Has it changed?  Can it be written, and where does it lie?  Then it
        ;; is written, in two commands, and its time is noted.
        (should (<= (length fast) 6))
        (should (= 2 (cl-count-if (lambda (c) (string-match-p stat c)) fast)))
        (should (> (cl-count-if (lambda (c) (string-match-p stat c)) usual) 2))
        (with-temp-buffer
          (insert-file-contents local)
          (should (equal (buffer-string) "two\nthree\nfour\none\n")))
        ;; Another process has written it.
        (nixvm-tramp-test-fast
          (insert "five\n")
          (write-region "theirs\n" nil local nil 'silent)
          (set-file-times local (time-add nil 60))
          (should (string-match-p "has changed since visited"
                                  (let (asked)
                                    (cl-letf (((symbol-function 'yes-or-no-p)
                                               (lambda (prompt) (setq asked prompt) nil)))
                                      (should-error (save-buffer) :type 'user-error))
                                    asked)))
          ;; And so it is noticed at the first change of a buffer, too.
          (set-buffer-modified-p nil)
          (should (catch 'asked
                    (cl-letf (((symbol-function 'ask-user-about-supersession-threat)
                               (lambda (&rest _) (throw 'asked t))))
                      (insert "six\n")
                      nil))))
        (with-temp-buffer
          (insert-file-contents local)
          (should (equal (buffer-string) "theirs\n")))))))

;; What others write while there is no connection.  Each INTERRUPTION is a
;; function; a save that comes after it must not overwrite what is there.

(defun nixvm-tramp-test-save-asks-p ()
  "Whether saving the current buffer asks; every question is answered with no."
  (let (asked (debug-on-error nil)) ; TRAMP handles errors unless they are debugged
    (cl-letf (((symbol-function 'yes-or-no-p) (lambda (prompt) (setq asked prompt) nil))
              ((symbol-function 'ask-user-about-supersession-threat)
               (lambda (file) (setq asked file) (user-error "Not edited"))))
      (ignore-error user-error (save-buffer)))
    asked))

(defun nixvm-tramp-test-survives (interruption)
  "Check that a save after INTERRUPTION does not overwrite what others wrote."
  (let ((name (nixvm-tramp-test-name "f.txt"))
        (local (expand-file-name "f.txt" nixvm-tramp-test-directory))
        (make-backup-files nil))
    (write-region "one\n" nil local nil 'silent)
    (with-current-buffer (find-file-noselect name)
      (insert "mine\n")
      (save-buffer)
      (insert "mine, too\n")
      (write-region "theirs\n" nil local nil 'silent)
      (set-file-times local (time-add nil 60))
      (funcall interruption)
      (should (nixvm-tramp-test-save-asks-p))
      (should (buffer-modified-p))
      (with-temp-buffer
        (insert-file-contents local)
        (should (equal (buffer-string) "theirs\n")))
      ;; Who says yes is asked once, and not again by the next save.
      (let ((questions 0))
        (cl-letf (((symbol-function 'yes-or-no-p) (lambda (_) (cl-incf questions) t))
                  ((symbol-function 'ask-user-about-supersession-threat)
                   (lambda (_) (cl-incf questions))))
          (save-buffer)
          (when nixvm-tramp--fast (should (= questions 1)))
          (setq questions 0)
          (insert "more\n")
          (save-buffer)
          (should (= questions 0))))
      (with-temp-buffer
        (insert-file-contents local)
        (should (string-prefix-p "mine\n" (buffer-string))))
      (set-buffer-modified-p nil)
      (kill-buffer))))

(defun nixvm-tramp-test-interruptions ()
  "Ways to lose the connection, for `nixvm-tramp-test-survives'."
  (cl-flet ((goes (&rest fields)
              (nixvm-fake-change (apply #'nixvm-fake-machine "demo" fields))
              (nixvm-fake-wait nixvm-tramp--away)
              (nixvm-fake-change (nixvm-fake-machine "demo"))
              (nixvm-fake-wait (null nixvm-tramp--away)))
            (process () (tramp-get-connection-process
                         (tramp-dissect-file-name (buffer-file-name)))))
    (list (cons "none" #'ignore)
          (cons "the machine was away" (lambda () (goes :state "stopped" :ready :json-false)))
          (cons "restored from a snapshot"
                (lambda ()
                  (nixvm-fake-push
                   nixvm-fake "nixvm/didChange"
                   (list :changed (vector (nixvm-fake-machine "demo" :operation "1"))
                         :operations (vector (nixvm-fake-operation "1" "restore-snapshot" "demo"))))
                  (nixvm-fake-wait nixvm-tramp--away)
                  (goes :state "stopped" :ready :json-false)))
          (cons "forgotten" (lambda () (nixvm-tramp-forget (nixvm-machine "demo"))))
          (cons "cleaned up by the user" #'tramp-cleanup-all-connections)
          (cons "ssh has died"
                (lambda ()
                  (let ((process (process)))
                    (signal-process process 'kill)
                    (nixvm-fake-wait (not (process-live-p process))))))
          (cons "ssh has died, some time after it connected"
                (lambda ()
                  (let ((process (process)))
                    (delete-process process)
                    (setq tramp-current-connection
                          (cons (tramp-dissect-file-name (buffer-file-name))
                                (time-subtract nil 60)))))))))

(ert-deftest nixvm-tramp-save-after-an-interruption-asks ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (pcase-dolist (`(,what . ,interruption) (nixvm-tramp-test-interruptions))
      (ert-info (what) (nixvm-tramp-test-survives interruption)))))

(ert-deftest nixvm-tramp-fast-save-after-an-interruption-asks ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (pcase-dolist (`(,what . ,interruption) (nixvm-tramp-test-interruptions))
      (ert-info (what)
        (nixvm-tramp-test-fast (nixvm-tramp-test-survives interruption))))))

(ert-deftest nixvm-tramp-fast-save-asks-when-the-connection-changes-in-its-middle ()
  "What was asked over the connection of before says nothing of what is there now."
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (nixvm-tramp-test-fast
      (let ((local (expand-file-name "f.txt" nixvm-tramp-test-directory)))
        (write-region "one\n" nil local nil 'silent)
        (with-current-buffer (find-file-noselect (nixvm-tramp-test-name "f.txt"))
          (insert "mine\n")
          (let ((before-save-hook
                 (list (lambda ()
                         (nixvm-tramp-forget (nixvm-machine "demo"))
                         (write-region "theirs\n" nil local nil 'silent)
                         (set-file-times local (time-add nil 60))))))
            (should (nixvm-tramp-test-save-asks-p)))
          (with-temp-buffer
            (insert-file-contents local)
            (should (equal (buffer-string) "theirs\n"))))))))

(defun nixvm-tramp-test-rewrite (local text)
  "Write TEXT to the file LOCAL as an agent does that is quick: at once, in place."
  (let ((before (file-attribute-modification-time (file-attributes local))))
    (write-region text nil local nil 'silent)
    ;; The clock of a file system is coarser than a nanosecond.
    (while (time-equal-p before (file-attribute-modification-time (file-attributes local)))
      (write-region text nil local nil 'silent))
    (should (< (abs (float-time (time-subtract (file-attribute-modification-time (file-attributes local))
                                               before)))
               2))))

(ert-deftest nixvm-tramp-what-is-written-right-after-a-save-is-not-overwritten ()
  "TRAMP takes times for the same that are less than two seconds apart."
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (dolist (fast '(nil t))
      (let ((local (expand-file-name "f.txt" nixvm-tramp-test-directory)) (tries 5) asked)
        ;; On a busy computer it may have been longer.
        (while (and (not asked) (> tries 0))
          (cl-decf tries)
          (write-region "one\n" nil local nil 'silent)
          (let ((test (lambda ()
                        (with-current-buffer (find-file-noselect (nixvm-tramp-test-name "f.txt"))
                          (insert "mine\n")
                          (save-buffer)
                          (insert "more\n")
                          ;; Neither the size nor the second need differ.
                          (nixvm-tramp-test-rewrite local "yours\nto\n")
                          (should (equal (file-attribute-size (file-attributes local)) 9))
                          (should (setq asked (nixvm-tramp-test-save-asks-p)))
                          (with-temp-buffer
                            (insert-file-contents local)
                            (should (equal (buffer-string) "yours\nto\n")))
                          ;; What was read anew is known again.
                          (revert-buffer t t)
                          (insert "both\n")
                          (should-not (nixvm-tramp-test-save-asks-p))
                          (insert "again\n")
                          (should-not (nixvm-tramp-test-save-asks-p))
                          (set-buffer-modified-p nil)
                          (kill-buffer)))))
            (if fast (nixvm-tramp-test-fast (funcall test)) (funcall test))))
        (should asked)))))

(ert-deftest nixvm-tramp-what-is-written-right-after-a-visit-is-not-overwritten ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (let ((local (expand-file-name "f.txt" nixvm-tramp-test-directory)))
      (write-region "one\n" nil local nil 'silent)
      (with-current-buffer (find-file-noselect (nixvm-tramp-test-name "f.txt"))
        (should (equal (car nixvm-tramp--stamp) (buffer-file-name)))
        (nixvm-tramp-test-rewrite local "two\n")
        (should-not (verify-visited-file-modtime (current-buffer)))
        (should (catch 'asked
                  (cl-letf (((symbol-function 'ask-user-about-supersession-threat)
                             (lambda (&rest _) (throw 'asked t))))
                    (insert "mine\n")
                    nil)))
        ;; A name that is saved to for the first time is no other's.
        (write-file (nixvm-tramp-test-name "g.txt"))
        (should (equal (car nixvm-tramp--stamp) (nixvm-tramp-test-name "g.txt")))
        (insert "more\n")
        (should-not (nixvm-tramp-test-save-asks-p))))))

(ert-deftest nixvm-tramp-guest-without-stat-is-judged-by-tramp ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (let ((local (expand-file-name "f.txt" nixvm-tramp-test-directory)))
      (write-region "one\n" nil local nil 'silent)
      (cl-letf (((symbol-function 'nixvm-tramp--ask-stamp)
                 (lambda (send &rest args) (apply send args))))
        (with-current-buffer (find-file-noselect (nixvm-tramp-test-name "f.txt"))
          (should-not nixvm-tramp--stamp)
          (insert "mine\n")
          (should-not (nixvm-tramp-test-save-asks-p))
          (insert "more\n")
          (write-region "theirs\n" nil local nil 'silent)
          (set-file-times local (time-add nil 60))
          (should (nixvm-tramp-test-save-asks-p)))))))

(ert-deftest nixvm-tramp-fast-leaves-projects-alone ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (let ((vc-handled-backends '(Git))
          (repo (expand-file-name "repo" nixvm-tramp-test-directory)) questions)
      (make-directory repo)
      (nixvm--locally (call-process "git" nil nil nil "init" "-q" repo))
      (write-region "x" nil (expand-file-name "a.txt" repo) nil 'silent)
      (nixvm-tramp-test-fast
        (cl-letf* ((real (symbol-function 'tramp-sh-handle-vc-registered))
                   ((symbol-function 'tramp-sh-handle-vc-registered)
                    (lambda (file) (push file questions) (funcall real file))))
          (with-current-buffer (find-file-noselect (nixvm-tramp-test-name "repo/a.txt"))
            (should-not vc-mode)
            (should-not questions)
            (should (equal (project-root (project-current))
                           (file-name-as-directory (nixvm-tramp-test-name "repo"))))
            (should (eq (vc-responsible-backend default-directory) 'Git))))))))

(ert-deftest nixvm-tramp-fast-is-for-our-files-only ()
  (nixvm-tramp-test-fast
    (nixvm-tramp-fast)
    (should remote-file-name-inhibit-locks)
    (should (nixvm-tramp--needless-p '(vc-registered "/nixvm:a:/x")))
    (should (nixvm-tramp--needless-p '(vc-registered "/nixvmcp:a:/x")))
    (should-not (nixvm-tramp--needless-p '(vc-registered "/ssh:a:/x")))
    (should-not (funcall backup-enable-predicate "/nixvm:a:/x"))
    (should (funcall backup-enable-predicate "/home/me/x"))
    (let ((nixvm-tramp--in-operation '(write-region nil nil "/x" nil t "/x")))
      (cl-letf (((symbol-function 'nixvm-tramp--verified-p) #'stringp))
        (should (nixvm-tramp--needless-p '(lock-file "/nixvm:a:/x")))
        (should-not (nixvm-tramp--needless-p '(lock-file "/ssh:a:/x"))))
      ;; A write by other means than saving has not been checked before.
      (should-not (nixvm-tramp--needless-p '(lock-file "/nixvm:a:/x"))))))

(provide 'nixvm-tramp-fast-test)
;;; nixvm-tramp-fast-test.el ends here
