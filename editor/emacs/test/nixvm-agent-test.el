;;; nixvm-agent-test.el --- Agents and terminals, with a scripted ssh  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Code:

(require 'ert)
(require 'nixvm-fake-ssh)

(ert-deftest nixvm-agent-runs-in-a-terminal-in-its-project ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (let* ((nixvm-agents '(("claude" . "echo agent in $(pwd)")))
           (nixvm-terminal 'term)
           started
           (nixvm-agent-functions (list (lambda (_m agent buffer) (setq started (cons agent buffer)))))
           (process-environment (cons "SHELL=/bin/sh" process-environment))
           (project (expand-file-name "project" nixvm-tramp-test-directory)))
      (make-directory project)
      (nixvm-fake-on "nixvm/agent/command"
                     (lambda (params &rest _)
                       (should (equal (plist-get params :tmux) :json-false))
                       (list :session "claude-project"
                             :line (format "cd %s && %s" (plist-get params :directory)
                                           (plist-get params :command)))))
      (let (nixvm-agent-tmux)
        (save-window-excursion
          (nixvm-run-agent "demo" "claude" project)
          (nixvm-fake-wait started 20)
          (with-current-buffer (cdr started)
            (should (equal (buffer-name) "*demo: claude-project*"))
            (should (equal (plist-get (nixvm-current-machine) :name) "demo"))
            (nixvm-fake-wait (string-match-p (concat "agent in " (regexp-quote project)) (buffer-string)) 20))
          (let (kill-buffer-query-functions) (kill-buffer (cdr started))))))))

(ert-deftest nixvm-terminal-that-ended-can-be-connected-again ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (let* ((nixvm-terminal 'term)
           (machine (nixvm-machine "demo"))
           (start (lambda () (nixvm--run-terminal machine "*demo terminal*" "echo up; exec sh")))
           (buffer (save-window-excursion (funcall start))))
      (nixvm-fake-wait (string-match-p "up" (with-current-buffer buffer (buffer-string))))
      (nixvm-tramp-forget machine)
      (with-current-buffer buffer
        (should (string-match-p "Press g to connect again, q to leave" (buffer-string)))
        ;; Term's own part of `menu-bar-update-hook' wants a keymap.
        (run-hook-with-args 'menu-bar-update-hook)
        (when (fboundp 'term--update-term-menu) (funcall 'term--update-term-menu t))
        (should (eq (key-binding "g") 'revert-buffer))
        (save-window-excursion (funcall revert-buffer-function)))
      (setq buffer (get-buffer "*demo terminal*"))
      (nixvm-fake-wait (string-match-p "up" (with-current-buffer buffer (buffer-string))))
      (should (process-live-p (get-buffer-process buffer)))
      (nixvm-tramp-forget machine)
      (kill-buffer buffer))))

(ert-deftest nixvm-agent-shell-gets-prefix-and-paths ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (let ((default-directory (file-name-as-directory (nixvm-tramp-test-name "a b"))))
      (make-directory (expand-file-name "a b" nixvm-tramp-test-directory))
      (let ((prefix (nixvm-agent-command-prefix (current-buffer))))
        (should (equal (seq-take prefix 4) (list nixvm-ssh-program "-T" "demo" "--")))
        (with-temp-buffer
          (let ((default-directory temporary-file-directory)
                (process-environment (cons "SHELL=/bin/sh" process-environment)))
            (apply #'call-process (car prefix) nil t nil (append (cdr prefix) '("pwd"))))
          (should (equal (string-trim (buffer-string))
                         (expand-file-name "a b" nixvm-tramp-test-directory)))))
      (should (equal (nixvm-agent-resolve-path "/srv/x") "/nixvm:demo:/srv/x"))
      (should (equal (nixvm-agent-resolve-path "/nixvm:demo:/srv/x") "/srv/x")))
    (should-not (nixvm-agent-command-prefix (get-buffer-create "*scratch*")))))

(ert-deftest nixvm-agents-are-offered-by-the-daemon ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (let ((nixvm-agents '(("claude" . "claude") ("mine" . "cd x && y"))))
      (nixvm-fake-answer "nixvm/agent/list" '(:agents [(:name "mine" :command "cd x && y")]))
      (should (equal (nixvm--agents-for "demo") '("mine")))
      (should (equal (nixvm-fake-params "nixvm/agent/list")
                     '(:name "demo" :agents [(:name "claude" :command "claude")
                                             (:name "mine" :command "cd x && y")]))))))

(ert-deftest nixvm-agent-that-the-daemon-refuses-says-why ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (nixvm-fake-answer "nixvm/agent/command" '(:error -32803 "demo has no VM" (:code "vm.not_found" :hint "create it")))
    (let ((said (nixvm-fake-messages
                  (nixvm-run-agent "demo" "claude" nixvm-tramp-test-directory)
                  (nixvm-fake-wait (nixvm-fake-received-p "nixvm/agent/command"))
                  (nixvm-fake-wait (cl-find-if (lambda (s) (string-match-p "demo has no VM" s)) said)))))
      (should (member "Attach demo: demo has no VM.  Hint: create it" (mapcar #'substring-no-properties said))))
    (should (equal (nixvm-fake-params "nixvm/agent/command")
                   (list :name "demo" :agent "claude" :command "claude"
                         :directory nixvm-tramp-test-directory :tmux t)))))

(ert-deftest nixvm-agent-in-a-terminal-of-the-machine-has-no-directory-of-here ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (nixvm--ensure)
    (with-temp-buffer
      (setq default-directory temporary-file-directory nixvm--buffer-machine "demo")
      (should (equal (plist-get (nixvm-current-machine) :name) "demo"))
      (should-not (nixvm--here "demo")))))

(provide 'nixvm-agent-test)
;;; nixvm-agent-test.el ends here
