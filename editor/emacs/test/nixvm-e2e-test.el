;;; nixvm-e2e-test.el --- The real daemon, a real guest, real TRAMP  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Commentary:

;; What a user does in an afternoon, in the order of the names.  test/e2e sets
;; the stage: a home of its own, no daemon, ssh with the test's configuration.

;;; Code:

(require 'ert)
(require 'autorevert)
(require 'dired)
(require 'nixvm-fake)

(defconst nixvm-e2e-test-boot 900 "Seconds that an emulated guest may take to boot.")
(defconst nixvm-e2e-test-free 12
  "Seconds in which Emacs is free when a guest has gone silent.
ssh itself would notice only after 45, three times its ServerAliveInterval: who
is free before that was freed by the daemon or by this package.")
(defconst nixvm-e2e-test-project "/home/user/project" "Where the work is.")

(unless (getenv "NIXVM_E2E") (error "Run this with test/e2e"))

(setq nixvm-create-file nil
      nixvm-create-questions '(profiles memory vcpus disk network backend)
      nixvm-create-defaults `(:profiles ("claude") :image ,(getenv "NIXVM_E2E_IMAGE") :memory "1G"
                                       :vcpus 2 :disk "2G" :network "nat")
      nixvm-terminal 'term
      nixvm-agents '(("claude" . "echo agent-$((6*7)) in $(pwd); exec cat"))
      nixvm-report-progress 'messages
      tramp-persistency-file-name nil
      tramp-verbose 1
      make-backup-files nil)

(defun nixvm-e2e-test-file (name)
  "The TRAMP name of NAME in the project."
  (format "/nixvm:demo:%s/%s" nixvm-e2e-test-project name))

(defun nixvm-e2e-test-ssh (command &optional host)
  "Run COMMAND in the guest by ssh itself, not through TRAMP; return its output.
HOST is demo unless it is said."
  (let ((default-directory temporary-file-directory))
    (with-temp-buffer
      (call-process "ssh" nil t nil (or host "demo") command)
      (buffer-string))))

(defun nixvm-e2e-test-qemu ()
  "The process id of the QEMU of demo: its disks lie in the home of this test."
  (let ((default-directory temporary-file-directory))
    (string-to-number
     (car (process-lines "pgrep" "-f" (concat "qemu-system.*" (regexp-quote (getenv "NIXVM_HOME"))
                                              ".*/demo/"))))))

(defmacro nixvm-e2e-test-step (name &rest body)
  "Define the test NAME with BODY, which needs the machine of the first one."
  (declare (indent 1))
  `(ert-deftest ,name ()
     (nixvm--ensure)
     (unless (nixvm-machine "demo") (ert-skip "there is no machine: the first test has failed"))
     ;; As a user does it: by a command.
     (let ((this-command 'nixvm-e2e-test)) ,@body)))

(defun nixvm-e2e-test-idle ()
  "Wait until nothing runs on the machine and it is ready."
  (nixvm-fake-wait (and (null nixvm--works)
                        (null (nixvm--operation-of (nixvm-machine "demo")))
                        (equal (nixvm--state (nixvm-machine "demo")) "running"))
                   nixvm-e2e-test-boot))

(ert-deftest nixvm-e2e-a1-create-starts-the-daemon-and-attaches ()
  (should-not (file-exists-p (nixvm-socket-file)))
  (let* (created attached
         (nixvm-after-create-functions (list (lambda (m) (setq created m))))
         (nixvm-after-attach-functions (list (lambda (_) (setq attached default-directory))))
         (said (nixvm-fake-messages
                 (nixvm-fake-typing '("demo" "claude" "" "" "" "")
                   (call-interactively #'nixvm-create))
                 (nixvm-fake-wait (or created (null nixvm--works)) nixvm-e2e-test-boot)
                 (should created)
                 (nixvm-fake-wait attached 120))))
    (should (nixvm--live))
    (should (equal (plist-get created :name) "demo"))
    (should (equal attached "/nixvm:demo:/home/user/"))
    (should (cl-find-if (lambda (s) (string-match-p "\\`Create demo\\.\\.\\.[0-9]+%" s)) said))
    (should (member "Create demo...done" said))
    (should (equal (nixvm--state (nixvm-machine "demo")) "running"))))

(nixvm-e2e-test-step nixvm-e2e-a2-opens-edits-and-saves
  (nixvm-e2e-test-ssh (format "mkdir -p %s && rm -f %s/gr*.txt" nixvm-e2e-test-project
                              nixvm-e2e-test-project))
  (with-current-buffer (find-file-noselect (nixvm-e2e-test-file "grüße.txt"))
    (set-window-buffer nil (current-buffer))
    (insert "first – 日本語\n")
    (save-buffer)
    (should (equal (decode-coding-string
                    (encode-coding-string (nixvm-e2e-test-ssh (format "cat %s/gr*.txt" nixvm-e2e-test-project))
                                          'utf-8)
                    'utf-8)
                   "first – 日本語\n"))
    ;; The agent writes, the buffer follows.
    (should nixvm-auto-revert-mode)
    (nixvm-e2e-test-ssh (format "cd %s && echo second >>gr*.txt && touch -d '+10 seconds' gr*.txt"
                                nixvm-e2e-test-project))
    (nixvm-fake-wait (progn (auto-revert-buffers) (string-match-p "second" (buffer-string))) 60)
    (should (string-match-p "second" (buffer-string)))
    (should (executable-find "tmux" t))))

(nixvm-e2e-test-step nixvm-e2e-a3-plain-ssh-names-work-over-one-connection
  (cl-progv (list (if (boundp 'tramp-use-connection-share) 'tramp-use-connection-share
                    'tramp-use-ssh-controlmaster-options)) ; until Emacs 29
      '(nil)
    (should (file-exists-p "/ssh:demo:/home/user"))
    (let ((minibuffer-completing-file-name t))
      (should (member "ssh:demo:" (file-name-all-completions "ssh:de" "/")))))
  ;; All of it went over one connection: the master of the configuration.
  (should (equal "1" (string-trim (nixvm-e2e-test-ssh "pgrep -cx -u root,user -f 'sshd: user( \\[priv\\])?' >/dev/null; pgrep -f 'sshd: user \\[priv\\]' | wc -l")))))

(nixvm-e2e-test-step nixvm-e2e-a3-large-files-are-copied-with-scp
  (let* ((text (apply #'concat (mapcar (lambda (n) (format "%d é\n" n)) (number-sequence 1 20000))))
         (here (make-temp-file "nixvm" nil nil text))
         (there (concat "/nixvmcp:demo:" nixvm-e2e-test-project "/large"))
         (back (make-temp-file "nixvm")) scp)
    (unwind-protect
        (cl-letf* ((real (symbol-function 'tramp-do-copy-or-rename-file-out-of-band))
                   ((symbol-function 'tramp-do-copy-or-rename-file-out-of-band)
                    (lambda (&rest args) (push t scp) (apply real args))))
          (copy-file here there t)
          (should (equal (nixvm-e2e-test-ssh (format "md5sum <%s/large" nixvm-e2e-test-project))
                         (format "%s  -\n" (with-temp-buffer
                                             (set-buffer-multibyte nil)
                                             (insert-file-contents-literally here)
                                             (secure-hash 'md5 (current-buffer))))))
          (copy-file there back t)
          (should (equal (with-temp-buffer (insert-file-contents back) (buffer-string)) text))
          (should (= 2 (length scp))))
      (delete-file here)
      (delete-file back))))

(nixvm-e2e-test-step nixvm-e2e-a3-root-is-two-hops-away
  (let ((file "/nixvm:demo-admin|sudo:demo-admin:/root/made-by-emacs"))
    (write-region "as root\n" nil file nil 'silent)
    (should (equal (plist-get (nixvm-current-machine file) :name) "demo"))
    (should (equal (nixvm-e2e-test-ssh "sudo cat /root/made-by-emacs" "demo-admin") "as root\n"))
    (should-not (file-exists-p (nixvm-e2e-test-file "../../../root/made-by-emacs")))))

(nixvm-e2e-test-step nixvm-e2e-a4-shell-runs-in-the-guest
  (let (shell)
    (save-window-excursion
      (nixvm-shell "demo")
      (nixvm-fake-wait (setq shell (get-buffer "*demo shell*")) 120))
    (with-current-buffer shell
      (goto-char (point-max))
      (comint-send-string (get-buffer-process shell) "echo $((6*7))-$(hostname)\n")
      (nixvm-fake-wait (string-match-p "42-demo" (buffer-string)) 60)
      (let (kill-buffer-query-functions) (kill-buffer)))))

(nixvm-e2e-test-step nixvm-e2e-a5-agent-survives-its-terminal
  (cl-flet ((run ()
              (let (buffer)
                (save-window-excursion
                  (let ((nixvm-agent-functions (list (lambda (_m _a b) (setq buffer b)))))
                    (nixvm-run-agent "demo" "claude" nixvm-e2e-test-project)
                    (nixvm-fake-wait buffer 120)))
                (with-current-buffer buffer
                  (nixvm-fake-wait (string-match-p "agent-42 in /home/user/project" (buffer-string)) 120))
                buffer)))
    (let* ((buffer (run)) (process (get-buffer-process buffer)))
      (should (equal (buffer-name buffer) "*demo: claude-project*"))
      (process-send-string process "what i typed\n")
      (with-current-buffer buffer
        (nixvm-fake-wait (string-match-p "what i typed" (buffer-string)) 60))
      (delete-process process)
      (kill-buffer buffer))
    (should (string-match-p "claude-project" (nixvm-e2e-test-ssh "tmux list-sessions")))
    (let ((buffer (run)))
      (with-current-buffer buffer
        (should (string-match-p "what i typed" (buffer-string))))
      (let (kill-buffer-query-functions) (kill-buffer buffer)))
    (nixvm-e2e-test-ssh "tmux kill-server")))

(nixvm-e2e-test-step nixvm-e2e-a6-console-and-doctor
  (save-window-excursion
    (nixvm-console "demo")
    (nixvm-fake-wait (get-buffer "*demo console*") 60)
    (with-current-buffer "*demo console*"
      (nixvm-fake-wait (string-match-p "login:" (buffer-string)) 120)
      (let (kill-buffer-query-functions) (kill-buffer)))
    (nixvm-doctor)
    (with-current-buffer "*nixvm doctor*"
      (nixvm-fake-wait (not (string-match-p "Checking" (buffer-string))) 120)
      (should-not (string-match-p "daemon.unreachable" (buffer-string))))))

(nixvm-e2e-test-step nixvm-e2e-a7-snapshot-break-restore
  (let ((file (nixvm-e2e-test-file "precious.txt")))
    (with-current-buffer (find-file-noselect file)
      (insert "precious\n")
      (save-buffer)
      (kill-buffer))
    (nixvm-snapshot "demo" "before" "before the refactoring – é")
    (nixvm-e2e-test-idle)
    (should (equal (plist-get (car (nixvm--snapshots "demo")) :description) "before the refactoring – é"))
    (delete-file file)
    (should-not (file-exists-p file))
    (let ((said (nixvm-fake-messages
                  (nixvm-fake-typing '("demo" "before" t) (call-interactively #'nixvm-restore))
                  (nixvm-fake-wait nixvm--works)
                  (nixvm-e2e-test-idle))))
      (should (cl-find-if (lambda (s) (string-match-p "\\`demo has been restored to before; the previous content is in the snapshot " s))
                          said)))
    (should (= 2 (length (nixvm--snapshots "demo"))))
    (with-temp-buffer
      (insert-file-contents file)
      (should (equal (buffer-string) "precious\n")))))

(nixvm-e2e-test-step nixvm-e2e-a8-reboot-with-an-open-buffer
  (let* ((buffer (find-file-noselect (nixvm-e2e-test-file "open.txt")))
         gone
         (nixvm-disconnect-functions (list (lambda (_ kind) (push kind gone))))
         (said (nixvm-fake-messages
                 (with-current-buffer buffer (insert "written before the reboot\n"))
                 (nixvm-reboot "demo")
                 (nixvm-fake-wait gone 60)
                 ;; Emacs is free, and says what is going on.
                 (let ((start (float-time)))
                   (let ((err (should-error (with-current-buffer buffer (save-buffer)) :type 'file-error)))
                     (should (string-match-p "\\`demo is busy: reboot" (error-message-string err))))
                   (should (< (- (float-time) start) nixvm-e2e-test-free))))))
    (should (cl-find-if (lambda (s) (string-match-p "demo is rebooting: its connections are closed; [0-9]+ buffers? stays?, 1 of them unsaved" s))
                        said))
    (nixvm-e2e-test-idle)
    (with-current-buffer buffer
      (save-buffer)
      (should-not (buffer-modified-p)))
    (should-not (file-exists-p (nixvm-e2e-test-file ".#open.txt")))
    (should (string-match-p "before the reboot"
                            (nixvm-e2e-test-ssh (format "cat %s/open.txt" nixvm-e2e-test-project))))))

(nixvm-e2e-test-step nixvm-e2e-a8-save-after-an-interruption-asks
  (dolist (fast '(nil t))
    (let ((remote-file-name-inhibit-locks nil) (nixvm-tramp--fast nil)
          (backup-enable-predicate backup-enable-predicate)
          asked)
      (when fast (nixvm-tramp-fast))
      (with-current-buffer (find-file-noselect (nixvm-e2e-test-file "open.txt"))
        (insert "mine\n")
        ;; The shared connection ends, as it does at every disruption; an agent
        ;; writes before Emacs is connected again.
        (nixvm--locally (call-process "ssh" nil nil nil "-O" "exit" "demo"))
        (nixvm-fake-wait (not (file-remote-p default-directory nil t)) 60)
        (nixvm-e2e-test-ssh (format "cd %s && echo theirs >open.txt && touch -d '+60 seconds' open.txt"
                                    nixvm-e2e-test-project))
        (cl-letf (((symbol-function 'yes-or-no-p) (lambda (prompt) (setq asked prompt) nil)))
          (should-error (save-buffer) :type 'user-error))
        (should (string-match-p "open.txt has changed since visited" asked))
        (should (equal (nixvm-e2e-test-ssh (format "cat %s/open.txt" nixvm-e2e-test-project))
                       "theirs\n"))
        (cl-letf (((symbol-function 'yes-or-no-p) (lambda (_) t))
                  ((symbol-function 'ask-user-about-supersession-threat) #'ignore))
          (save-buffer))
        (should (string-match-p "mine\n"
                                (nixvm-e2e-test-ssh (format "cat %s/open.txt" nixvm-e2e-test-project))))))))

(nixvm-e2e-test-step nixvm-e2e-a9-suspend-by-another-client-in-the-middle-of-an-operation
  (let* ((buffer (find-file-noselect (nixvm-e2e-test-file "open.txt")))
         (dir (file-name-directory (nixvm-e2e-test-file "x")))
         (when (make-temp-file "nixvm")))
    ;; TRAMP waits for the guest, and meanwhile another client suspends the guest.
    (nixvm--locally
      (make-process :name "suspend" :buffer nil :noquery t
                    :command (list "sh" "-c" (format "until ssh demo test -e started; do :; done
date +%%s.%%N >%s
exec nixvmd suspend demo" when))))
    (let ((default-directory dir) (nixvm-start-on-open 'no))
      (ignore-errors (process-file "sh" nil nil nil "-c" "touch ~/started; exec tail -f /dev/null")))
    (let ((seconds (- (float-time)
                      (with-temp-buffer
                        (insert-file-contents when)
                        (string-to-number (buffer-string))))))
      (delete-file when)
      (message "Emacs was free %.1f s after the suspend began" seconds)
      (should (< 0 seconds nixvm-e2e-test-free)))
    (nixvm-fake-wait (and (equal (plist-get (nixvm-machine "demo") :state) "suspended")
                          (null (nixvm--operation-of (nixvm-machine "demo"))))
                     60)
    ;; A timer, completion, a look at the buffer: none of it resumes the machine.
    (let ((start (float-time)) (nixvm-start-on-open 'yes))
      (let ((this-command nil)) (should-error (insert-file-contents (buffer-file-name buffer))))
      (let ((non-essential t)) (ignore-errors (file-name-all-completions "" dir)))
      (with-current-buffer buffer (should-not (nixvm-tramp--stale-p)))
      (should (< (- (float-time) start) nixvm-e2e-test-free)))
    (let* ((nixvm-start-on-open 'no)
           (err (should-error (find-file-noselect (nixvm-e2e-test-file "new")) :type 'file-error)))
      (should (string-match-p "demo is suspended; M-x nixvm-start starts it" (error-message-string err))))
    (should (equal (plist-get (nixvm-machine "demo") :state) "suspended"))
    ;; Opening a file resumes it when that is allowed.
    (let ((nixvm-start-on-open 'yes))
      (with-current-buffer (find-file-noselect (nixvm-e2e-test-file "after.txt"))
        (insert "resumed\n")
        (save-buffer)))
    (should (equal (nixvm-e2e-test-ssh (format "cat %s/after.txt" nixvm-e2e-test-project)) "resumed\n"))))

(nixvm-e2e-test-step nixvm-e2e-aa-daemon-dies-and-comes-back
  (save-window-excursion (nixvm))
  (nixvm--ensure)
  (let ((pid (plist-get (nixvm--call "nixvm/version" nil) :pid))
        (nixvm-autoreconnect t))
    (signal-process pid 'kill)
    (nixvm-fake-wait (not (nixvm--live)) 30)
    (nixvm-fake-wait (nixvm--live) 60)
    (should-not (equal pid (plist-get (nixvm--call "nixvm/version" nil) :pid)))
    (nixvm-fake-wait (equal (nixvm--state (nixvm-machine "demo")) "running") 120)
    ;; The machine has not noticed.
    (should (equal (nixvm-e2e-test-ssh "echo here") "here\n"))))

(defun nixvm-e2e-test-ssh-entry-p ()
  "Whether ssh knows demo.  The file goes with the last machine."
  (and (file-exists-p (nixvm-ssh-config-file))
       (with-temp-buffer
         (insert-file-contents (nixvm-ssh-config-file))
         (search-forward "Host demo" nil t))))

(nixvm-e2e-test-step nixvm-e2e-z-qemu-dies-and-destroy-wants-the-name-and-leaves-nothing
  (nixvm--ensure)
  (should (nixvm-e2e-test-ssh-entry-p))
  (with-current-buffer (find-file-noselect (nixvm-e2e-test-file "last.txt"))
    (insert "never saved")
    ;; A save in the second after QEMU has died does not wait for the guest.
    (signal-process (nixvm-e2e-test-qemu) 'kill)
    (let ((start (float-time)) (nixvm-start-on-open 'no))
      (should-error (save-buffer) :type 'file-error)
      (message "Emacs was free %.1f s after QEMU died" (- (float-time) start))
      (should (< (- (float-time) start) nixvm-e2e-test-free)))
    (should (buffer-modified-p)))
  (nixvm-fake-typing '("demo" "demo") (call-interactively #'nixvm-destroy))
  (nixvm-fake-wait (null (nixvm-machine "demo")) 120)
  (let ((start (float-time)) (this-command 'kill-buffer) kill-buffer-query-functions)
    (dolist (b (buffer-list))
      (when (string-prefix-p "/nixvm:demo:" (or (buffer-file-name b) ""))
        (with-current-buffer b (set-buffer-modified-p nil))
        (kill-buffer b)))
    (should (< (- (float-time) start) nixvm-e2e-test-free)))
  (should-not (member '(nil "demo") (nixvm-tramp-completion-function)))
  (should-not (nixvm-e2e-test-ssh-entry-p)))

(provide 'nixvm-e2e-test)
;;; nixvm-e2e-test.el ends here
