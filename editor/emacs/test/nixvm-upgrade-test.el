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
