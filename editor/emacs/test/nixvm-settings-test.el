;;; nixvm-settings-test.el --- Settings of a machine  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Code:

(require 'nixvm-fake)
(require 'nixvm-settings)

(defun nixvm-settings-test-program (directory prints)
  "Write a nixvmd that PRINTS a line and keeps its input in DIRECTORY.
Return its name."
  (let ((program (expand-file-name "nixvmd" directory)))
    (with-temp-file program
      (insert (format "#!/bin/sh\nprintf '%%s' \"$*\" > %s/args\ncat > %s/stdin\nprintf '%%s\\n' '%s'\n"
                      directory directory prints)))
    (set-file-modes program #o700)
    program))

(defun nixvm-settings-test-text (directory file)
  "The text of FILE in DIRECTORY."
  (with-temp-buffer
    (insert-file-contents (expand-file-name file directory))
    (buffer-string)))

(defmacro nixvm-settings-test-with (prints &rest body)
  "Evaluate BODY with a program that PRINTS; `dir' is where it keeps its input."
  (declare (indent 1))
  `(let* ((dir (directory-file-name (make-temp-file "nixvm-settings" t)))
          (program (nixvm-settings-test-program dir ,prints)))
     (unwind-protect
         (nixvm-fake-with (list (nixvm-fake-machine "demo"))
           (nixvm-fake-on "nixvm/machine/configure"
                          (lambda (&rest _) (list :machine (nixvm-fake-machine "demo"))))
           (nixvm--ensure)
           (let ((nixvm-program program)) ,@body))
       (delete-directory dir t))))

(ert-deftest nixvm-passwd-sends-only-the-hash ()
  (nixvm-settings-test-with "{\"hash\":\"$y$made\"}"
    (let ((said (nixvm-fake-messages
                  (nixvm-passwd "demo" (copy-sequence "sécret"))
                  (nixvm-fake-wait (member "demo: root has a new password" said)))))
      (should (equal (plist-get (nixvm-fake-params "nixvm/machine/configure") :rootPasswordHash) "$y$made"))
      (should (equal (nixvm-settings-test-text dir "stdin") "sécret"))
      (should (equal (nixvm-settings-test-text dir "args") "passwd --hash --stdin --json"))
      (should said))))

(ert-deftest nixvm-passwd-removes-a-password ()
  (nixvm-settings-test-with "{}"
    (nixvm-passwd "demo" "")
    (nixvm-fake-wait (nixvm-fake-received-p "nixvm/machine/configure"))
    (should (equal (plist-get (nixvm-fake-params "nixvm/machine/configure") :rootPasswordHash) ""))
    (should-not (file-exists-p (expand-file-name "args" dir)))))

(ert-deftest nixvm-passwd-shows-what-is-wrong ()
  (nixvm-settings-test-with "{\"error\":{\"code\":\"params.invalid\",\"message\":\"it has a line end\"}}"
    (let ((said (nixvm-fake-messages
                  (nixvm-passwd "demo" "x\ny")
                  (nixvm-fake-wait (null (get-process "nixvm-passwd"))))))
      (should (cl-some (lambda (m) (string-match-p "it has a line end" m)) said))
      (should-not (nixvm-fake-received-p "nixvm/machine/configure")))))

(ert-deftest nixvm-recreate-says-what-becomes-of-the-disks ()
  (nixvm-fake-with (list (append (nixvm-fake-machine "demo") '(:vmMode "immutable")))
    (nixvm-fake-on "nixvm/vm/recreate" (lambda (&rest _) '(:operation (:id "1" :state "succeeded"))))
    (pcase-dolist (`(,prefix ,text) '((nil "are set aside .*It is immutable and becomes") ((4) "are deleted")))
      (let (asked)
        (cl-letf (((symbol-function 'nixvm--confirm-by-name) (lambda (_ what) (setq asked what)))
                  (current-prefix-arg prefix))
          (nixvm-fake-typing '("demo") (call-interactively #'nixvm-recreate)))
        (should (string-match-p text asked))
        (nixvm-fake-wait (let ((params (nixvm-fake-params "nixvm/vm/recreate")))
                           (and (equal (plist-get params :confirm) "demo")
                                (eq (and prefix t) (plist-get params :discard)))))))))

(ert-deftest nixvm-rename-asks-before-it-restarts-a-machine ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo") (nixvm-fake-machine "off" :state "stopped"))
    (nixvm-fake-on "nixvm/vm/rename" (lambda (&rest _) '(:operation (:id "1" :state "succeeded"))))
    (should (eq 'quit (condition-case nil
                          (nixvm-fake-typing '("demo" "parser" nil) (call-interactively #'nixvm-rename))
                        (quit 'quit))))
    (should-not (nixvm-fake-received-p "nixvm/vm/rename"))
    (pcase-dolist (`(,typed ,confirm) '((("demo" "parser" t) "demo") (("off" "parser") nil)))
      (nixvm-fake-typing typed (call-interactively #'nixvm-rename))
      (nixvm-fake-wait (let ((params (nixvm-fake-params "nixvm/vm/rename")))
                         (and (equal (plist-get params :name) (car typed))
                              (equal (plist-get params :newName) "parser")
                              (equal (plist-get params :confirm) confirm)))))))

(ert-deftest nixvm-another-mode-says-what-applies-it ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (nixvm-fake-answer "nixvm/machine/check"
                       '(:ok t :fields (:mode (:ok t :value "immutable" :choices ["immutable" "mutable"]))))
    (nixvm-fake-answer "nixvm/machine/configure" '(:machine (:name "demo" :mode "mutable" :vmMode "immutable")))
    (let ((said (nixvm-fake-messages
                  (nixvm-fake-typing '("demo" "mutable") (call-interactively #'nixvm-set-mode))
                  (nixvm-fake-wait (nixvm-fake-received-p "nixvm/machine/configure"))
                  (nixvm--call "nixvm/profile/list" nil))))
      (should (equal (plist-get (nixvm-fake-params "nixvm/machine/configure") :mode) "mutable"))
      (should (cl-find-if (lambda (line) (string-match-p "its VM stays immutable until .*nixvm-recreate" line))
                          said)))))

(provide 'nixvm-settings-test)
;;; nixvm-settings-test.el ends here
