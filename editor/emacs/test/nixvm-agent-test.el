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

(ert-deftest nixvm-agent-line-survives-every-quoting ()
  (let ((nixvm-agents '(("a" . "printf '%s|' \"it's $((1+1))\""))) nixvm-agent-tmux)
    (let ((dir (make-temp-file "it's a \"dir\" " t)))
      (unwind-protect
          (with-temp-buffer
            (let ((process-environment (cons "SHELL=/bin/sh" process-environment)))
              (call-process "sh" nil t nil "-c" (nixvm--agent-line "a" dir)))
            (should (equal (buffer-string) "it's 2|")))
        (delete-directory dir t)))))

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

(defun nixvm-agent-test-run (bin input agent &optional directory)
  "Return what AGENT says in a guest with the programs of BIN, given INPUT.
It is run in DIRECTORY, or else in BIN."
  (let ((process-environment (append (list (concat "SHELL=" (expand-file-name "login-shell" bin))
                                           (concat "PATH=" bin ":/usr/bin:/bin"))
                                     process-environment))
        nixvm-agent-tmux)
    (with-temp-buffer
      (insert input)
      (call-process-region nil nil "/bin/sh" t t nil "-c" (nixvm--agent-line agent (or directory bin)))
      (buffer-string))))

(ert-deftest nixvm-agent-that-is-not-installed-says-so-and-can-be ()
  (let* ((bin (make-temp-file "nixvm" t))
         (nixvm-agents '(("claude" . "claude --help") ("mine" . "my-agent") ("broken" . "false")))
         (write (lambda (name text)
                  (write-region (concat "#!/bin/sh\n" text "\n") nil (expand-file-name name bin) nil 'silent)
                  (set-file-modes (expand-file-name name bin) #o755))))
    (unwind-protect
        (progn
          (funcall write "login-shell" "[ \"$1\" = -lc ] || { echo a shell; exit; }; exec /bin/sh -c \"$2\"")
          ;; No: the reason stays, and so does the terminal.
          (let ((said (nixvm-agent-test-run bin "n\n" "claude")))
            (should (string-match-p "claude is not installed in this machine" said))
            (should (string-match-p "curl -fsSL https://claude.ai/install.sh | bash" said))
            (should (string-match-p "Install it now\\? \\[y/N\\]" said))
            (should (string-match-p "a shell\n\\'" said)))
          (should (string-match-p "my-agent is not installed.*\n.*nixvm-agents has the command"
                                  (nixvm-agent-test-run bin "" "mine")))
          (should (string-match-p "broken has ended with an error" (nixvm-agent-test-run bin "" "broken")))
          (should (string-match-p "\\(?:can't cd to\\|No such file\\).*\nRET closes"
                                  (nixvm-agent-test-run bin "" "claude" "/nonexistent")))
          ;; Yes: by the guest's own program, and then it runs.
          (funcall write "nixvm-agent-install" "echo \"installing $1\"; exit 7")
          (let ((said (nixvm-agent-test-run bin "y\n" "claude")))
            (should (string-match-p "installing @anthropic-ai/claude-code" said))
            (should (string-match-p "could not be installed; the reason is above" said)))
          (funcall write "nixvm-agent-install"
                   (format "printf '#!/bin/sh\\necho claude \"$@\"\\n' >%s/claude; chmod 755 %s/claude" bin bin))
          (should (string-match-p "claude --help\n\\'" (nixvm-agent-test-run bin "y\n" "claude")))
          (should (equal (nixvm-agent-test-run bin "" "claude") "claude --help\n")))
      (delete-directory bin t))))

(ert-deftest nixvm-agents-are-offered-by-the-profiles-of-the-machine ()
  (let ((nixvm-agents '(("claude" . "claude") ("opencode" . "opencode") ("mine" . "cd x && y"))))
    (should (equal (nixvm--agents-for '(:profiles ["claude" "dev"])) '("claude" "mine")))
    (should (equal (nixvm--agents-for '(:profiles ["open-code"])) '("opencode" "mine"))))
  (let ((nixvm-agents '(("claude" . "claude") ("opencode" . "opencode"))))
    (should (equal (nixvm--agents-for '(:profiles [])) '("claude" "opencode")))))

(ert-deftest nixvm-agent-in-a-terminal-of-the-machine-has-no-directory-of-here ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (nixvm--ensure)
    (with-temp-buffer
      (setq default-directory temporary-file-directory nixvm--buffer-machine "demo")
      (should (equal (plist-get (nixvm-current-machine) :name) "demo"))
      (should-not (nixvm--here "demo")))))

(provide 'nixvm-agent-test)
;;; nixvm-agent-test.el ends here
