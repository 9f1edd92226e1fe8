;;; nixvm-backup-test.el --- Backups of machines  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Code:

(require 'ert)
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

(ert-deftest nixvm-export-writes-to-a-directory ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (nixvm-fake-on "nixvm/backup/create"
                   (lambda (params &rest _) (nixvm-backup-test-result params :backup "/tmp/demo.nixvm.tar.zst")))
    (let ((said (nixvm-fake-messages
                  (cl-letf (((symbol-function 'read-directory-name) (lambda (&rest _) "/tmp/")))
                    (nixvm-fake-typing '("demo") (call-interactively #'nixvm-export)))
                  (nixvm-fake-wait (nixvm-fake-received-p "nixvm/backup/create"))
                  (nixvm-fake-wait (null nixvm--works)))))
      (should (member "demo has been exported: /tmp/demo.nixvm.tar.zst" said)))
    (should (equal (plist-get (nixvm-fake-params "nixvm/backup/create") :to) "/tmp"))
    (should-error (nixvm-export "demo" "/ssh:elsewhere:/tmp") :type 'user-error)))

(defun nixvm-backup-test-archive (&rest fields)
  "Let the daemon know one archive, with FIELDS of what it says of it."
  (setf (nixvm-fake-methods nixvm-fake) (append '("nixvm/backup/inspect" "nixvm/backup/list") nixvm-fake-methods))
  (nixvm-fake-answer "nixvm/backup/list"
                     '(:directory "/b" :backups [(:id "demo-1" :file "/b/demo-1" :machine "demo" :created "2026-01-02T03:04:05Z"
                                                  :bytes 2048 :consistent :json-false :identity t)
                                                 (:id "other-1" :file "/b/other-1" :bytes 1
                                                  :problem (:code "archive.invalid" :message "it is cut off"))]))
  (nixvm-fake-on "nixvm/backup/inspect"
                 (lambda (params &rest _)
                   (append fields
                           (list :backup (list :file (plist-get params :backup) :machine "demo")
                                 :name (or (plist-get params :name) "demo")
                                 :replaces (if (equal (plist-get params :name) "taken") t :json-false)
                                 :confirm :json-false))))
  (nixvm-fake-on "nixvm/backup/restore" (lambda (params &rest _) (nixvm-backup-test-result params))))

(defun nixvm-backup-test-restored ()
  "The params of the restore, without the token."
  (nixvm-fake-wait (nixvm-fake-received-p "nixvm/backup/restore"))
  (nixvm-fake-wait (null nixvm--works))
  (nixvm--without :workDoneToken (nixvm-fake-params "nixvm/backup/restore")))

(ert-deftest nixvm-import-shows-what-reaches-beyond-the-vm ()
  (nixvm-fake-with nil
    (nixvm-backup-test-archive :confirm t :settings [(:file "allowed_cidrs" :text "10.0.0.0/8\n172.16.0.0/12")])
    (let (shown)
      (cl-letf (((symbol-function 'read-file-name) (lambda (&rest _) "/tmp/a.nixvm.tar.zst"))
                ((symbol-function 'nixvm--confirm-by-name)
                 (lambda (&rest _) (setq shown (with-current-buffer "*nixvm import*" (buffer-string))))))
        (nixvm-fake-typing '("copy") (call-interactively #'nixvm-import)))
      (should (string-match-p "allowed_cidrs +10.0.0.0/8\n +172" shown)))
    (should (equal (nixvm-backup-test-restored) '(:name "copy" :backup "/tmp/a.nixvm.tar.zst" :confirm "copy")))))

(ert-deftest nixvm-import-does-not-replace-a-machine ()
  (nixvm-fake-with (list (nixvm-fake-machine "taken"))
    (nixvm-backup-test-archive)
    (cl-letf (((symbol-function 'read-file-name) (lambda (&rest _) "/tmp/a.nixvm.tar.zst")))
      (nixvm-fake-typing '("taken" "copy") (call-interactively #'nixvm-import)))
    (should (equal (nixvm-backup-test-restored) '(:name "copy" :backup "/tmp/a.nixvm.tar.zst")))))

(ert-deftest nixvm-backups-shows-those-of-machines-that-are-gone ()
  (nixvm-fake-with nil
    (nixvm-backup-test-archive)
    (unwind-protect
        (save-window-excursion
          (nixvm-backups)
          (set-buffer "*nixvm backups*")
          (nixvm-fake-wait tabulated-list-entries)
          (goto-char (point-min))
          (should (search-forward "it is cut off"))
          (goto-char (point-min))
          (should (re-search-forward "^ +demo .*crash-consistent, with identity"))
          (nixvm-fake-typing '(t) (call-interactively #'nixvm-backups-restore))
          (should (equal (nixvm-backup-test-restored) '(:name "demo" :backup "demo-1")))
          (nixvm-fake-typing '("again") (call-interactively #'nixvm-backups-create))
          (nixvm-fake-wait (equal (plist-get (nixvm-fake-params "nixvm/backup/restore") :name) "again")))
      (kill-buffer "*nixvm backups*"))))

;;; nixvm-backup-test.el ends here
