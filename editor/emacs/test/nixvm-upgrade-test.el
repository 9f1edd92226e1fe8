;;; nixvm-upgrade-test.el --- New images for existing machines  -*- lexical-binding: t; -*-

;; SPDX-License-Identifier: MIT

;;; Code:

(require 'ert)
(require 'nixvm-fake)
(require 'nixvm-list)
(require 'nixvm-upgrade)

(defmacro nixvm-upgrade-test-with (machine &rest body)
  "Run BODY with MACHINE, whose operations succeed."
  (declare (indent 1))
  `(nixvm-fake-with (list ,machine)
     (dolist (method '("nixvm/vm/upgrade" "nixvm/vm/rollback"))
       (nixvm-fake-answer method (list :operation '(:id "1" :state "succeeded" :generation 3 :image "img")
                                       :machine ,machine)))
     (nixvm-fake-answer "nixvm/generation/list"
                        '(:generations [(:number 1 :missing t :image (:id "a") :profiles ["core"] :since "2026-01-01T00:00:00Z")
                                        (:number 2 :image (:id "b") :profiles ["core" "dev"] :since "2026-01-02T00:00:00Z")
                                        (:number 3 :current t :image (:id "c") :profiles ["core"] :since "2026-01-03T00:00:00Z")]))
     (nixvm--ensure)
     ,@body))

(ert-deftest nixvm-upgrade-asks-and-tells ()
  (nixvm-upgrade-test-with (nixvm-fake-machine "demo")
    (should (eq 'quit (condition-case nil
                          (nixvm-fake-typing '("demo" nil) (call-interactively #'nixvm-upgrade))
                        (quit 'quit))))
    (should-not (nixvm-fake-received-p "nixvm/vm/upgrade"))
    (let ((said (nixvm-fake-messages
                  (nixvm-fake-typing '("demo" t) (call-interactively #'nixvm-upgrade))
                  (nixvm-fake-wait (nixvm-fake-received-p "nixvm/vm/upgrade"))
                  (nixvm-fake-wait (null nixvm--works)))))
      (should (cl-some (lambda (m) (string-match-p "demo is at generation 3" m)) said)))
    (should-not (plist-member (nixvm-fake-params "nixvm/vm/upgrade") :confirm))))

(ert-deftest nixvm-upgrade-of-a-semi-mutable-machine-wants-its-name ()
  (nixvm-upgrade-test-with (nixvm-fake-machine "demo" :mode "semi-mutable")
    (nixvm-fake-typing '("demo" "demo") (call-interactively #'nixvm-upgrade))
    (nixvm-fake-wait (nixvm-fake-received-p "nixvm/vm/upgrade"))
    (should (equal (plist-get (nixvm-fake-params "nixvm/vm/upgrade") :confirm) "demo"))))

(ert-deftest nixvm-upgrade-with-a-prefix-argument-takes-another-image ()
  (nixvm-upgrade-test-with (nixvm-fake-machine "demo")
    (nixvm-fake-typing '("demo" "~/image.json" t)
      (let ((current-prefix-arg '(4))) (call-interactively #'nixvm-upgrade)))
    (nixvm-fake-wait (nixvm-fake-received-p "nixvm/vm/upgrade"))
    (should (equal (plist-get (nixvm-fake-params "nixvm/vm/upgrade") :image) (expand-file-name "~/image.json")))))

(defconst nixvm-upgrade-test-preview
  '(:current (:kind "trial" :id "a") :next (:kind "trial" :id "b") :restarts t :added ["docker"] :removed []
    :packages [(:name "git" :before ["2.1"] :after ["2.2"]) (:name "podman" :after ["5"])
               (:name "nano" :before ["8"])])
  "What a daemon says of an upgrade.")

(ert-deftest nixvm-upgrade-preview-shows-what-changes-and-changes-nothing ()
  (nixvm-upgrade-test-with (nixvm-fake-machine "demo")
    (push "nixvm/upgrade/preview" (nixvm-fake-methods nixvm-fake))
    (nixvm-fake-answer "nixvm/upgrade/preview" nixvm-upgrade-test-preview)
    (save-window-excursion
      (unwind-protect
          (progn
            (nixvm-upgrade-preview "demo")
            (nixvm-fake-wait (get-buffer "*nixvm upgrade*"))
            (set-buffer "*nixvm upgrade*")
            (let ((text (buffer-string)))
              (dolist (line '("Next image +b, to be built$" "New profiles +docker$" "the guest is shut down"
                              "1 changed, 1 new, 1 removed$" "git 2.1 -> 2.2$" "podman 5 (new)$" "nano 8 (removed)$"))
                (should (string-match-p line text)))
              (should-not (string-match-p "Removed profiles" text)))
            (should-not (nixvm-fake-received-p "nixvm/vm/upgrade"))
            (nixvm-fake-typing '(t) (call-interactively #'nixvm-upgrade-previewed))
            (nixvm-fake-wait (nixvm-fake-received-p "nixvm/vm/upgrade"))
            (nixvm-fake-wait (null nixvm--works)))
        (kill-buffer "*nixvm upgrade*")))))

(ert-deftest nixvm-upgrade-preview-says-what-is-not-known ()
  (should (string-match-p "already has the image a" (nixvm--preview-text "demo" '(:same t :current (:id "a")))))
  (let ((text (nixvm--preview-text "demo" '(:current (:id "a") :next (:kind "file") :notCompared "no list"))))
    (should (string-match-p "Next image +file, to be imported$" text))
    (should (string-match-p "Packages +not compared: no list$" text))
    (should (string-match-p "at its next start" text))))

(defun nixvm-upgrade-test-all (prefix)
  "Upgrade all machines with PREFIX; return the last message and the requests."
  (setf (nixvm-fake-received nixvm-fake) nil)
  (let ((said (nixvm-fake-messages
                (nixvm-fake-typing '(t)
                  (let ((current-prefix-arg prefix)) (call-interactively #'nixvm-upgrade-all))
                  (nixvm-fake-wait (cl-some (lambda (m) (string-prefix-p "Upgraded " m)) said))))))
    (cons (car said)
          (cl-loop for (method . params) in (reverse (nixvm-fake-received nixvm-fake))
                   when (equal method "nixvm/vm/upgrade")
                   collect (list (plist-get params :name) (plist-get params :confirm))))))

(ert-deftest nixvm-upgrade-all-stops-at-the-first-failure-unless-told-otherwise ()
  (nixvm-fake-with (list (nixvm-fake-machine "b") (nixvm-fake-machine "c" :mode "semi-mutable")
                         (nixvm-fake-machine "a") (nixvm-fake-machine "d" :state "absent"))
    (nixvm-fake-on "nixvm/vm/upgrade"
                   (lambda (params &rest _)
                     (if (equal (plist-get params :name) "b") '(:error -32803 "no sshd" (:code "guest.unhealthy"))
                       (list :operation (nixvm-fake-operation "1" "upgrade" "a" :state "succeeded")))))
    (nixvm--ensure)
    (should (equal (nixvm-upgrade-test-all nil) '("Upgraded 1 of 3 VMs" ("a" nil) ("b" nil))))
    (should (equal (nixvm-upgrade-test-all '(4)) '("Upgraded 2 of 3 VMs" ("a" nil) ("b" nil) ("c" "c"))))))

(ert-deftest nixvm-rollback-offers-former-images ()
  (nixvm-upgrade-test-with (nixvm-fake-machine "demo")
    (nixvm-fake-typing '("demo" "2" t) (call-interactively #'nixvm-rollback))
    (nixvm-fake-wait (nixvm-fake-received-p "nixvm/vm/rollback"))
    (should (equal (plist-get (nixvm-fake-params "nixvm/vm/rollback") :generation) 2))))

(ert-deftest nixvm-upgrade-what-it-would-change-is-in-the-list ()
  (nixvm-fake-with (list (nixvm-fake-machine "old" :outdated t)
                         (nixvm-fake-machine "other" :outdated t :pending ["profiles"])
                         (nixvm-fake-machine "new"))
    (nixvm--ensure)
    (cl-flet ((state (name) (substring-no-properties (nixvm--list-state (nixvm-machine name)))))
      (should (string-suffix-p ", outdated" (state "old")))
      (should (string-suffix-p ", profiles changed" (state "other")))
      (should-not (string-match-p "," (state "new"))))))

(provide 'nixvm-upgrade-test)
;;; nixvm-upgrade-test.el ends here
