;;; nixvm-pull-test.el --- The branch of an agent  -*- lexical-binding: t; -*-

;; SPDX-License-Identifier: MIT

;;; Code:

(require 'ert)
(require 'nixvm-fake)
(require 'nixvm-pull)

(defconst nixvm-pull-test-review
  '(:directory "/tmp" :ref "refs/nixvm/demo/dev/work" :commit "1111111111111111" :base "2222222222222222"
    :commits [(:id "1111111111111111" :author "Agent" :subject "Add a shop")] :commitCount 3
    :files [(:path ".envrc" :status "added" :added 1 :deleted 0) (:path "x.png" :status "modified")] :fileCount 2
    :flags [(:rule "shell" :why "direnv runs it" :paths [(:path ".envrc")] :count 4)
            (:rule "submodule" :why "git fetches it" :paths [(:path ".gitmodules" :found "url ext::sh")] :count 1)])
  "What a daemon says of a branch.")

(ert-deftest nixvm-pull-shows-what-could-run-first ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (nixvm-fake-answer "nixvm/agent/pull"
                       '(:operation (:id "1" :state "succeeded" :ref "refs/nixvm/demo/dev/work")))
    (nixvm-fake-answer "nixvm/agent/review" nixvm-pull-test-review)
    (nixvm--ensure)
    (should-error (nixvm-pull "demo" "/ssh:elsewhere:/tmp") :type 'user-error)
    (nixvm-pull "demo" "/tmp/" "~/other")
    (nixvm-fake-wait (get-buffer "*nixvm review: refs/nixvm/demo/dev/work*"))
    (let ((params (nixvm-fake-params "nixvm/agent/pull")))
      (should (equal (plist-get params :directory) "/tmp"))
      (should (equal (plist-get params :repository) "~/other")))
    (should (equal (plist-get (nixvm-fake-params "nixvm/agent/review") :ref) "refs/nixvm/demo/dev/work"))
    (with-current-buffer "*nixvm review: refs/nixvm/demo/dev/work*"
      (let ((text (buffer-string)))
        (should (string-match-p "is at 111111111111\\.\n\nLook at these" text))
        (dolist (line '("    .envrc" "    and 3 more" "    .gitmodules: url ext::sh"
                        "  111111111111 Add a shop (Agent)" "    and 2 more"
                        "  added .envrc (+1 -0)" "  modified x.png (binary)"))
          (should (member line (split-string text "\n")))))
      (kill-buffer))))

(ert-deftest nixvm-pull-diff-is-that-of-the-branch ()
  (let ((dir (make-temp-file "nixvm-pull" t)))
    (unwind-protect
        (let ((default-directory (file-name-as-directory dir))
              (process-environment (append '("GIT_AUTHOR_NAME=T" "GIT_AUTHOR_EMAIL=t@example.org" "GIT_COMMITTER_NAME=T"
                                             "GIT_COMMITTER_EMAIL=t@example.org")
                                           process-environment)))
          (dolist (args '(("init" "-q") ("commit" "-q" "--allow-empty" "-m" "one")))
            (should (zerop (apply #'call-process "git" nil nil nil args))))
          (with-temp-file "a.txt" (insert "new line\n"))
          (dolist (args '(("add" "a.txt") ("commit" "-q" "-m" "two") ("update-ref" "refs/nixvm/demo/x" "HEAD")
                          ("reset" "-q" "--hard" "HEAD~1")))
            (should (zerop (apply #'call-process "git" nil nil nil args))))
          (with-temp-buffer
            (nixvm-review-mode)
            (setq default-directory (file-name-as-directory dir)
                  nixvm--review '(:ref "refs/nixvm/demo/x"))
            (cl-letf (((symbol-function 'nixvm--review-magit-p) #'ignore))
              (save-window-excursion (nixvm-review-diff)))
            (with-current-buffer "*nixvm git*"
              (nixvm-fake-wait (string-match-p "^\\+new line$" (buffer-string)))
              (should (derived-mode-p 'diff-mode))
              (should buffer-read-only))))
      (when (get-buffer "*nixvm git*") (kill-buffer "*nixvm git*"))
      (delete-directory dir t))))

(provide 'nixvm-pull-test)
;;; nixvm-pull-test.el ends here
