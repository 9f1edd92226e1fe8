;;; nixvm-backup-test.el --- Backups of machines  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Code:

(require 'nixvm-fake)
(require 'nixvm-backup)

(defun nixvm-backup-test-result (params &rest fields)
  "The answer to an operation with PARAMS, and FIELDS of the operation."
  (list :operation (append fields (list :id "1" :state "succeeded"))
        :vm (nixvm-fake-machine (plist-get params :name))))

(ert-deftest nixvm-backup-says-what-it-has-made ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (nixvm-fake-on "nixvm/backup/create"
                   (lambda (params &rest _) (nixvm-backup-test-result params :backup "demo-1")))
    (let ((said (nixvm-fake-messages
                  (nixvm-fake-typing '("demo")
                    (let ((current-prefix-arg '(4))) (call-interactively #'nixvm-backup)))
                  (nixvm-fake-wait (nixvm-fake-received-p "nixvm/backup/create"))
                  (nixvm-fake-wait (null nixvm--works)))))
      (should (member "demo is backed up: demo-1" said)))
    (let ((params (nixvm-fake-params "nixvm/backup/create")))
      (should (equal (plist-get params :name) "demo"))
      (should (eq (plist-get params :withIdentity) t)))))

(ert-deftest nixvm-restore-backup-says-what-is-lost-and-confirms ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (nixvm-fake-answer "nixvm/backup/list"
                       '(:backups [(:id "demo-1" :created "2026-01-02T03:04:05Z" :bytes 2048 :consistent t)
                                   (:id "demo-2" :created "2026-01-03T03:04:05Z" :bytes 4096 :consistent t)
                                   (:id "demo-3" :problem (:code "archive.invalid" :message "cut off"))]))
    (nixvm-fake-on "nixvm/backup/restore"
                   (lambda (params &rest _) (nixvm-backup-test-result params :safety "safety-1")))
    (let* (asked
           (said (nixvm-fake-messages
                   (nixvm-fake-typing '("demo" "")
                     (cl-letf (((symbol-function 'yes-or-no-p) (lambda (p) (setq asked p) t)))
                       (call-interactively #'nixvm-restore-backup)))
                   (nixvm-fake-wait (nixvm-fake-received-p "nixvm/backup/restore"))
                   (nixvm-fake-wait (null nixvm--works)))))
      (should (string-match-p "Restore demo to the backup of 2026-01-0.*a safety snapshot" asked))
      (should (member "demo has been restored to demo-2; the previous content is in the snapshot safety-1" said)))
    (let ((params (nixvm-fake-params "nixvm/backup/restore")))
      (should (equal (plist-get params :confirm) "demo"))
      (should (equal (plist-get params :backup) "demo-2")))))

(ert-deftest nixvm-restore-backup-without-a-backup-says-how-to-make-one ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (nixvm-fake-answer "nixvm/backup/list" '(:backups []))
    (nixvm-fake-typing '("demo")
      (should-error (call-interactively #'nixvm-restore-backup) :type 'user-error))))

;;; nixvm-backup-test.el ends here
