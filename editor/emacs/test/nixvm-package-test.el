;;; nixvm-package-test.el --- What makes it a package  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Code:

(require 'ert)
(require 'nixvm)
(require 'nixvm-transient)

(defun nixvm-package-test-commands ()
  "The commands for users, without those of one mode only."
  (let (commands)
    (mapatoms (lambda (symbol)
                (when (and (commandp symbol)
                           (string-match-p "\\`nixvm\\(?:-[^-]\\|\\'\\)" (symbol-name symbol))
                           (not (string-match-p "--\\|-fake\\|\\(?:log\\|list\\|images\\|doctor\\)-mode\\'"
                                                (symbol-name symbol)))
                           (not (command-modes symbol)))
                  (push symbol commands))))
    commands))

(defun nixvm-package-test-autoloads ()
  "Return (LOADED . SYMBOLS): what loading the file of autoloads loads and offers."
  (let* ((source (file-name-directory (locate-library "nixvm.el")))
         (dir (file-name-as-directory (make-temp-file "nixvm" t)))
         (file (expand-file-name "nixvm-autoloads.el" dir))
         (inhibit-message t))
    (unwind-protect
        (progn
          (dolist (f (directory-files source t "\\`nixvm.*\\.el\\'")) (copy-file f dir))
          (if (fboundp 'loaddefs-generate)
              (loaddefs-generate dir file)
            (require 'autoload) ; until Emacs 28
            (with-no-warnings (make-directory-autoloads dir file)))
          (with-temp-buffer
            (call-process (expand-file-name invocation-name invocation-directory) nil '(t nil) nil
                          "-Q" "--batch" "-l" file "--eval"
                          "(let (symbols)
                             (mapatoms (lambda (s) (and (autoloadp (symbol-function s))
                                                        (string-prefix-p \"nixvm\" (symbol-name s))
                                                        (push s symbols))))
                             (prin1 (cons (featurep 'nixvm-rpc) symbols)))")
            (goto-char (point-min))
            (read (current-buffer))))
      (delete-directory dir t))))

(ert-deftest nixvm-package-autoloads-every-command-and-loads-nothing ()
  (let ((autoloads (nixvm-package-test-autoloads))
        (commands (nixvm-package-test-commands)))
    (should-not (car autoloads))
    (should (> (length commands) 25))
    (should-not (cl-set-difference commands (cdr autoloads)))))

(ert-deftest nixvm-package-every-command-has-a-key-and-a-docstring ()
  (dolist (command (cl-set-difference (nixvm-package-test-commands)
                                      ;; The list itself; what is of use elsewhere only.
                                      '(nixvm nixvm-list nixvm-disconnect nixvm-claude-code
                                        nixvm-auto-revert-mode nixvm-tramp-setup nixvm-tramp-fast)))
    (should (documentation command))
    (should (where-is-internal command nixvm-list-mode-map))))

;; As in an Emacs without an installed package: only `nixvm' is required.
(ert-deftest nixvm-package-keys-and-menu-know-their-commands ()
  (with-temp-buffer
    (let ((source (file-name-directory (locate-library "nixvm.el"))))
      (should
       (equal 0
              (call-process (expand-file-name invocation-name invocation-directory) nil t nil
                            "-Q" "--batch" "-L" source "--eval"
                            "(progn
                               (require 'nixvm)
                               (let (unknown)
                                 (map-keymap (lambda (_ command)
                                               (and (symbolp command) command (not (commandp command))
                                                    (string-prefix-p \"nixvm\" (symbol-name command))
                                                    (push command unknown)))
                                             nixvm-list-mode-map)
                                 (when unknown (error \"Keys of unknown commands: %S\" unknown))
                                 (call-interactively #'nixvm-menu)))")))
      (should-not (string-match-p "not defined\\|[Ee]rror" (buffer-string))))))

(provide 'nixvm-package-test)
;;; nixvm-package-test.el ends here
