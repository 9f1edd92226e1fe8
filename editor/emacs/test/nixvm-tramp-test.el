;;; nixvm-tramp-test.el --- Files of machines, with a scripted ssh  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Commentary:

;; Methods, starting on open, what goes away, ways in: see nixvm-fake-ssh.el for
;; what stands for the guest.

;;; Code:

(require 'ert)
(require 'recentf)
(require 'nixvm-fake-ssh)

(defun nixvm-tramp-test-fresh-emacs (form)
  "Return the value of FORM in an Emacs of its own that has loaded the package."
  (with-temp-buffer
    (nixvm--locally
      (call-process (expand-file-name invocation-name invocation-directory) nil '(t nil) nil
                    "-Q" "--batch" "-L" (file-name-directory (locate-library "nixvm"))
                    "--eval" (format "(progn (require 'nixvm) (prin1 %S))" form)))
    (goto-char (point-min))
    (read (current-buffer))))

(ert-deftest nixvm-tramp-opens-edits-and-saves ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (let ((buffer (find-file-noselect (nixvm-tramp-test-name "é.txt"))))
      (with-current-buffer buffer
        (insert "Grüße\n")
        (let ((make-backup-files nil)) (save-buffer))
        (should nixvm-auto-revert-mode)
        (should (eq buffer-stale-function #'nixvm-tramp--stale-p)))
      (with-temp-buffer
        (insert-file-contents (expand-file-name "é.txt" nixvm-tramp-test-directory))
        (should (equal (buffer-string) "Grüße\n"))))
    ;; A preflight, and one login over the ssh configuration's own master: no
    ;; Control options, and the proxy is told not to start the machine.
    (should (equal (nixvm-tramp-test-log)
                   '("start=no -o BatchMode=yes -o ConnectTimeout=120 demo id"
                     "start=no -e none demo")))
    ;; The preflight is for the first connection only.
    (tramp-cleanup-all-connections)
    (should (file-exists-p (nixvm-tramp-test-name "é.txt")))
    (should (equal (nth 2 (nixvm-tramp-test-log)) "start=no -e none demo"))
    ;; And again when the machine was away.
    (nixvm-tramp-forget (nixvm-machine "demo"))
    (should (file-exists-p (nixvm-tramp-test-name "é.txt")))
    (should (string-match-p "demo id" (nth 3 (nixvm-tramp-test-log))))))

(ert-deftest nixvm-tramp-opening-gives-the-error-of-ssh ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (write-region "Host key verification failed.\n" nil
                  (expand-file-name "error" nixvm-tramp-test-directory) nil 'silent)
    (let ((err (should-error (find-file-noselect (nixvm-tramp-test-name "x")) :type 'file-error)))
      (should (string-match-p "ssh cannot connect to demo: Host key verification failed\\."
                              (error-message-string err))))))

(ert-deftest nixvm-tramp-need-not-ask-who-it-is ()
  (should (equal (nixvm--identity "Welcome!\nuid=1000(user) gid=100(users) groups=100(users),27(sudo)\n")
                 '(("uid-integer" . 1000) ("uid-string" . "user")
                   ("gid-integer" . 100) ("gid-string" . "users"))))
  (should-not (nixvm--identity "bash: id: command not found\n"))
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (let ((vec (tramp-dissect-file-name (nixvm-tramp-test-name "x"))) sent)
      (cl-letf* ((real (symbol-function 'tramp-send-command))
                 ((symbol-function 'tramp-send-command)
                  (lambda (vec command &rest args) (push command sent) (apply real vec command args))))
        (should (file-writable-p (nixvm-tramp-test-name "x")))
        (should (equal (tramp-get-remote-uid vec 'integer) (user-uid)))
        (should (equal (tramp-get-remote-gid vec 'string) (group-name (group-gid)))))
      (should-not (cl-find-if (lambda (c) (string-match-p "\\_<id -" c)) sent)))))

(ert-deftest nixvm-tramp-opening-can-be-quit-while-ssh-connects ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (write-region "#!/bin/sh\necho here >\"$(dirname \"$0\")/log\"\nexec tail -f /dev/null\n" nil
                  nixvm-ssh-program nil 'silent)
    (let* ((timer (run-at-time 0.05 0.05 (lambda () (when (nixvm-tramp-test-log) (setq quit-flag t)))))
           (result (unwind-protect
                       (condition-case nil (find-file-noselect (nixvm-tramp-test-name "x"))
                         (quit 'quit))
                     (cancel-timer timer))))
      (should (eq result 'quit))
      (nixvm-fake-wait (null (cl-find "nixvm-preflight" (process-list) :key #'process-name
                                      :test #'string-prefix-p))))))

(ert-deftest nixvm-tramp-first-file-of-an-emacs-asks-the-daemon ()
  "An Emacs that has not spoken to the daemon yet must not boot by accident either."
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo" :state "stopped"))
    (nixvm-disconnect)
    (clrhash nixvm--machines)
    (let ((nixvm-start-on-open 'no))
      (should (string-match-p "demo is stopped"
                              (error-message-string
                               (should-error (find-file-noselect (nixvm-tramp-test-name "x"))
                                             :type 'file-error)))))
    (should (string-match-p "There is no machine demmo"
                            (error-message-string
                             (should-error (find-file-noselect "/nixvm:demmo:/x") :type 'file-error))))
    (nixvm-fake-stop nixvm-fake)
    (nixvm-fake-wait (not (nixvm--live)))
    (should (string-match-p "No nixvmd at"
                            (error-message-string
                             (should-error (find-file-noselect (nixvm-tramp-test-name "x"))
                                           :type 'file-error))))
    (should-not (nixvm-tramp-test-log))))

(ert-deftest nixvm-tramp-several-hops-begin-at-the-machine ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (nixvm--ensure)
    (let ((file "/nixvm:user@demo-admin|sudo:root@demo-admin:/etc/x"))
      (should (equal (nixvm-tramp--entrance (tramp-dissect-file-name file)) '("nixvm" "demo-admin" "user")))
      (should (nixvm-tramp--of-hosts-p (tramp-dissect-file-name file) '("demo" "demo-admin")))
      (should (equal (plist-get (nixvm-current-machine file) :name) "demo")))
    (should-not (nixvm-current-machine "/sudo:root@demo:/etc/x"))
    (should-not (nixvm-current-machine "/ftp:demo:/etc/x"))))

(ert-deftest nixvm-tramp-every-account-has-a-connection-of-its-own ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (should-not (file-exists-p (nixvm-tramp-test-name "x")))
    (should-not (file-exists-p (concat "/nixvm:admin@demo:" nixvm-tramp-test-directory "/x")))
    (should (equal (mapcar (lambda (line) (replace-regexp-in-string "start=no -o .*=120 " "" line))
                           (nixvm-tramp-test-log))
                   '("demo id" "start=no -e none demo" "admin@demo id" "start=no -l admin -e none demo")))
    (should (equal (sort (mapcar #'car nixvm--connected-hosts) #'string<) '("admin@demo" "demo")))
    (nixvm-tramp-forget (nixvm-machine "demo"))
    (should-not nixvm--connected-hosts)))

(ert-deftest nixvm-tramp-completes-names-from-memory ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo") (nixvm-fake-machine "other" :state "stopped"))
    (let ((asked (length (nixvm-fake-received nixvm-fake)))
          (minibuffer-completing-file-name t))
      (should (equal (delete-dups (sort (file-name-all-completions "" "/nixvm:") #'string<))
                     '("demo-admin:" "demo:" "other-admin:" "other:")))
      (should (member "ssh:demo:" (file-name-all-completions "ssh:de" "/")))
      (should (= asked (length (nixvm-fake-received nixvm-fake))))
      (should-not (nixvm-tramp-test-log)))))

(ert-deftest nixvm-tramp-completes-names-without-a-daemon ()
  (nixvm-fake-with nil
    (let* ((home (make-temp-file "nixvm" t))
           (process-environment (append (list (concat "NIXVM_HOME=" home)
                                              (format "PATH=%s:%s" home (getenv "PATH")))
                                        process-environment))
           (exec-path (cons home exec-path)))
      (nixvm-fake-program home)
      (make-directory (expand-file-name "state/ssh" home) t)
      (write-region "# ours\n\nHost one\n    User user\n\nHost one-admin\n    User admin\n" nil
                    (nixvm-ssh-config-file) nil 'silent)
      (unwind-protect
          (progn
            (should (equal (nixvm-tramp-completion-function "") '((nil "one") (nil "one-admin"))))
            ;; In an Emacs that has only just loaded the package.
            (dolist (case '(("/nixvm:" . "one:") ("/" . "ssh:one:")))
              (should (member (cdr case)
                              (nixvm-tramp-test-fresh-emacs
                               `(let ((minibuffer-completing-file-name t))
                                  (file-name-all-completions ,(if (equal (car case) "/") "ssh:on" "")
                                                             ,(car case))))))))
        (delete-directory home t)))
    (let ((process-environment (cons "NIXVM_HOME=/nonexistent" process-environment)))
      (should-not (nixvm-tramp-completion-function "")))))

(ert-deftest nixvm-tramp-nothing-boots-by-accident ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo" :state "stopped"))
    (let ((file (nixvm-tramp-test-name "x")))
      (let ((non-essential t)) (should-not (file-exists-p file)))
      (should-not (file-remote-p file nil t))
      ;; A timer has no command.
      (let ((this-command nil))
        (should-error (insert-file-contents file) :type 'file-error))
      (let ((nixvm-start-on-open 'no))
        (should-error (find-file-noselect file) :type 'file-error))
      (let ((nixvm-start-on-open 'ask) asked)
        (cl-letf (((symbol-function 'y-or-n-p) (lambda (p) (setq asked p) nil)))
          (should-error (find-file-noselect file) :type 'file-error)
          (should (equal asked "demo is stopped.  Start it? "))
          (setq asked nil)
          (let ((this-command 'kill-buffer)) (ignore-errors (find-file-noselect file)))
          (should-not asked))))
    (should-not (nixvm-tramp-test-log))
    (should-not (nixvm-fake-received-p "nixvm/vm/start"))))

(ert-deftest nixvm-tramp-a-command-asks-once-for-all-its-files ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo" :state "stopped"))
    (let* ((nixvm-start-on-open 'ask) (questions 0)
           (touch (lambda ()
                    (dolist (f (list #'file-exists-p #'file-attributes #'find-file-noselect
                                     #'directory-files #'dired-noselect))
                      (dolist (name '("x" "y"))
                        (ignore-errors (funcall f (nixvm-tramp-test-name name))))))))
      (cl-letf (((symbol-function 'y-or-n-p) (lambda (_) (cl-incf questions) nil)))
        (funcall touch)
        (should (= questions 1))
        ;; The next command may be asked again.
        (run-hooks 'pre-command-hook)
        (funcall touch)
        (should (= questions 2))
        (run-hooks 'pre-command-hook)
        (should-not (memq 'nixvm-tramp--next-command pre-command-hook)))
      ;; One that does not start is not started over and over.
      (nixvm-fake-answer "nixvm/vm/start" '(:error -32803 "no memory left" (:code "vm.start_failed")))
      (cl-letf (((symbol-function 'y-or-n-p) (lambda (_) (cl-incf questions) t)))
        (funcall touch))
      (should (= questions 3))
      (should (= 1 (cl-count "nixvm/vm/start" (nixvm-fake-received nixvm-fake) :key #'car :test #'equal)))
      (run-hooks 'pre-command-hook)
      (should-not (nixvm-tramp-test-log)))))

(ert-deftest nixvm-tramp-completing-on-a-stopped-machine-asks-nothing ()
  "As a user types it: the name of a file, TAB, TAB."
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo" :state "stopped"))
    (let* ((nixvm-start-on-open 'ask) (minibuffer-message-timeout 0) questions
           (name (nixvm-tramp-test-name "fi"))
           (keys (lambda (name then) (vconcat (kbd "C-x C-f") (kbd "C-a C-k") name then))))
      (write-region "" nil (expand-file-name "file" nixvm-tramp-test-directory) nil 'silent)
      (cl-letf (((symbol-function 'y-or-n-p) (lambda (p) (push p questions) nil)))
        (dolist (then '("TAB TAB C-g" "? C-g"))
          (ignore-error quit (execute-kbd-macro (funcall keys name (kbd then)))))
        (should-not questions)
        ;; It is opening the file that is worth a question, and one of them.
        (ignore-errors (execute-kbd-macro (funcall keys name (kbd "TAB RET RET"))))
        (should (equal questions '("demo is stopped.  Start it? "))))
      (should-not (nixvm-tramp-test-log))
      (should-not (nixvm-fake-received-p "nixvm/vm/start")))))

(ert-deftest nixvm-tramp-restoring-a-session-neither-starts-nor-waits ()
  "What `desktop-read' does while Emacs starts, and what a timer does later."
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo" :state "stopped"))
    (let ((name (nixvm-tramp-test-name "x")) (this-command nil) (questions 0))
      (write-region "here" nil (expand-file-name "x" nixvm-tramp-test-directory) nil 'silent)
      (cl-letf (((symbol-function 'y-or-n-p) (lambda (_) (cl-incf questions) t)))
        ;; The machine is off, and known or not; or there is no daemon.
        (dolist (before (list #'ignore
                              (lambda () (nixvm-disconnect) (clrhash nixvm--machines))
                              (lambda ()
                                (nixvm-fake-stop nixvm-fake)
                                (nixvm-fake-wait (not (nixvm--live)))
                                (clrhash nixvm--machines))))
          (funcall before)
          (dotimes (_ 2)
            (should-error (find-file-noselect name) :type 'file-error)
            (should-error (insert-file-contents name) :type 'file-error))))
      (should (= questions 0))
      (should-not (nixvm-tramp-test-log)))))

(ert-deftest nixvm-tramp-only-commands-and-a-starting-emacs-connect ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (let ((name (nixvm-tramp-test-name "x")) (this-command nil))
      (write-region "here" nil (expand-file-name "x" nixvm-tramp-test-directory) nil 'silent)
      (cl-letf (((symbol-function 'nixvm-tramp--starting-up-p) #'ignore))
        (should (string-match-p
                 "There is no connection to demo"
                 (error-message-string (should-error (insert-file-contents name) :type 'file-error))))
        (should-not (nixvm-tramp-test-log)))
      (cl-letf (((symbol-function 'nixvm-tramp--starting-up-p) (lambda () t)))
        (with-temp-buffer
          (insert-file-contents name)
          (should (equal (buffer-string) "here"))))
      (nixvm-tramp-forget (nixvm-machine "demo"))
      ;; So does who asks by emacsclient, which is no command.
      (cl-letf (((symbol-function 'nixvm-tramp--starting-up-p) #'ignore))
        (should (advice-member-p #'nixvm-tramp--for-client 'server-execute))
        (should (nixvm-tramp--for-client #'file-exists-p name)))
      ;; Over a connection that is there, all can be had.
      (cl-letf (((symbol-function 'nixvm-tramp--starting-up-p) #'ignore))
        (should (file-exists-p name))))))

(ert-deftest nixvm-tramp-auto-save-visited-connects-again ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (let ((local (expand-file-name "x" nixvm-tramp-test-directory)) (auto-save-visited-mode t)
          (remote-file-name-inhibit-locks t) ; as after a disruption
          (content (lambda (file) (with-temp-buffer (insert-file-contents file) (buffer-string)))))
      (with-current-buffer (find-file-noselect (nixvm-tramp-test-name "x"))
        (insert "one\n")
        (save-buffer)
        (insert "two\n")
        (nixvm-tramp-forget (nixvm-machine "demo"))
        (should-not nixvm--connected-hosts)
        (cl-letf (((symbol-function 'nixvm-tramp--starting-up-p) #'ignore))
          (let ((this-command nil))
            ;; The timer does not wait for ssh; once that is there, it is saved.
            (should-error (save-some-buffers t) :type 'file-error)
            (nixvm-fake-wait (equal (funcall content local) "one\ntwo\n"))
            (nixvm-fake-wait (not (buffer-modified-p)))
            ;; What another one has written meanwhile is asked for, as ever.
            (insert "three\n")
            (nixvm-tramp-forget (nixvm-machine "demo"))
            (write-region "theirs\n" nil local nil 'silent)
            (let (asked)
              (cl-letf (((symbol-function 'yes-or-no-p) (lambda (prompt) (setq asked prompt) nil)))
                (should-error (save-some-buffers t) :type 'file-error)
                (nixvm-fake-wait asked)))
            (should (equal (funcall content local) "theirs\n"))
            ;; A machine that is off stays off.
            (nixvm-fake-change (nixvm-fake-machine "demo" :state "stopped" :ready :json-false))
            (nixvm-fake-wait nixvm-tramp--away)
            (delete-file (expand-file-name "log" nixvm-tramp-test-directory))
            (should-error (save-some-buffers t) :type 'file-error)
            (should-not nixvm-tramp--connecting)
            (should-not (nixvm-tramp-test-log))
            (should-not (nixvm-fake-received-p "nixvm/vm/start"))))))))

(ert-deftest nixvm-tramp-dead-machine-is-not-connected-to-again ()
  "What the daemon has told while TRAMP waited is known before it connects again."
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (with-current-buffer (find-file-noselect (nixvm-tramp-test-name "x"))
      (insert "mine")
      (let ((process (tramp-get-connection-process (tramp-dissect-file-name buffer-file-name)))
            (nixvm-start-on-open 'no))
        ;; QEMU dies, and with it the shared connection.  Nothing has been read yet.
        (nixvm-fake-change (nixvm-fake-machine "demo" :state "crashed" :ready :json-false))
        (delete-process process)
        (delete-file (expand-file-name "log" nixvm-tramp-test-directory))
        (should (string-match-p
                 "demo is crashed"
                 (error-message-string (should-error (save-buffer) :type 'file-error))))
        (should (buffer-modified-p))
        (should-not (nixvm-tramp-test-log))))))

(ert-deftest nixvm-tramp-ssh-that-ended-by-itself-is-tried-before-it-is-used ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (should-not (file-exists-p (nixvm-tramp-test-name "x")))
    (should (assoc "demo" nixvm--connected-hosts))
    (let ((process (tramp-get-connection-process
                    (tramp-dissect-file-name (nixvm-tramp-test-name "x")))))
      (process-send-string process "exit\n"))
    (nixvm-fake-wait (not (assoc "demo" nixvm--connected-hosts)))))

(ert-deftest nixvm-tramp-files-visited-lately-stay-remembered ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (let ((recentf-list (list (nixvm-tramp-test-name "x") "/etc/passwd"))
          (recentf-keep '(always)))
      (should (memq 'tramp-recentf-cleanup tramp-cleanup-connection-hook))
      (should-not (file-exists-p (nixvm-tramp-test-name "x")))
      (nixvm-tramp-forget (nixvm-machine "demo"))
      (should (equal (car recentf-list) (nixvm-tramp-test-name "x")))
      (should (memq 'tramp-recentf-cleanup tramp-cleanup-connection-hook)))))

(ert-deftest nixvm-tramp-opening-starts-the-machine-when-allowed ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo" :state "stopped"))
    (nixvm-fake-on "nixvm/vm/start"
                   (lambda (_params reply)
                     (run-at-time 0.1 nil reply (list :operation '(:state "succeeded")
                                                      :vm (nixvm-fake-machine "demo")))
                     'later))
    (write-region "here" nil (expand-file-name "x" nixvm-tramp-test-directory) nil 'silent)
    (with-current-buffer (find-file-noselect (nixvm-tramp-test-name "x"))
      (should (equal (buffer-string) "here")))
    (should (nixvm-fake-received-p "nixvm/vm/start"))))

(ert-deftest nixvm-tramp-start-that-fails-says-why ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo" :state "suspended"))
    (nixvm-fake-answer "nixvm/vm/resume" '(:error -32803 "no memory left" (:code "vm.start_failed")))
    (let ((err (should-error (find-file-noselect (nixvm-tramp-test-name "x")) :type 'file-error)))
      (should (string-match-p "demo does not start: no memory left" (error-message-string err))))))

(ert-deftest nixvm-tramp-reboot-frees-emacs-and-tells ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (write-region "x" nil (expand-file-name "x" nixvm-tramp-test-directory) nil 'silent)
    (let* ((buffer (find-file-noselect (nixvm-tramp-test-name "x")))
           (default-directory (file-name-directory (nixvm-tramp-test-name "x")))
           (shell (nixvm-attach-shell (nixvm-machine "demo") default-directory))
           happened
           (nixvm-disconnect-functions (list (lambda (_ kind) (push kind happened))))
           (said
            (nixvm-fake-messages
              (with-current-buffer buffer (insert "unsaved"))
              (should (process-live-p (get-buffer-process shell)))
              (nixvm-fake-push
               nixvm-fake "nixvm/didChange"
               (list :changed (vector (nixvm-fake-machine "demo" :operation "1"))
                     :operations (vector (nixvm-fake-operation "1" "reboot" "demo"))))
              (nixvm-fake-wait happened))))
      (should (equal happened '("reboot")))
      (should (cl-find-if (lambda (s) (string-match-p "demo is rebooting: its connections are closed; 2 buffers stay, 1 of them unsaved" s))
                          said))
      (should-not (process-live-p (get-buffer-process shell)))
      (should-not (file-remote-p (buffer-file-name buffer) nil t))
      (should (equal (substring-no-properties (buffer-local-value 'nixvm-tramp--away buffer))
                     " [demo is rebooting]"))
      ;; That the machine then goes down is no news.
      (setq happened nil
            said (nixvm-fake-messages
                   (nixvm-fake-change (nixvm-fake-machine "demo" :state "stopped" :ready :json-false
                                                          :operation "1"))
                   (nixvm-fake-wait happened)))
      (should (equal happened '("reboot")))
      (should-not said)
      ;; Accessing the file now reports the operation, and asks nothing.
      (let* ((logins (nixvm-tramp-test-log))
             (err (should-error (with-current-buffer buffer (save-buffer)) :type 'file-error)))
        (should (equal (error-message-string err) "demo is busy: reboot"))
        (should (buffer-modified-p buffer))
        ;; TRAMP takes an error in the middle for an answer: no such file.
        (dolist (f (list #'file-attributes #'file-exists-p #'directory-files
                         (lambda (file) (let ((default-directory (file-name-directory file)))
                                          (process-file "true")))))
          (setq err (should-error (funcall f (buffer-file-name buffer)) :type 'file-error))
          (should (equal (error-message-string err) "demo is busy: reboot")))
        ;; Even killing the changed buffer.
        (let (kill-buffer-query-functions)
          (with-current-buffer buffer (set-buffer-modified-p nil))
          (should (kill-buffer buffer)))
        (should (equal (nixvm-tramp-test-log) logins)))
      (kill-buffer shell))))

(ert-deftest nixvm-tramp-buffers-work-again-when-the-machine-is-back ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (with-current-buffer (find-file-noselect (nixvm-tramp-test-name "x"))
      (insert "kept")
      (nixvm-fake-change (nixvm-fake-machine "demo" :state "suspended" :ready :json-false))
      (nixvm-fake-wait nixvm-tramp--away)
      (should remote-file-name-inhibit-locks)
      (nixvm-fake-change (nixvm-fake-machine "demo"))
      (nixvm-fake-wait (null nixvm-tramp--away))
      (let ((make-backup-files nil)) (save-buffer))
      (should-not (local-variable-p 'remote-file-name-inhibit-locks))
      (should-not (file-symlink-p (expand-file-name ".#x" nixvm-tramp-test-directory)))
      (should (file-exists-p (expand-file-name "x" nixvm-tramp-test-directory))))))

(ert-deftest nixvm-tramp-auto-revert-never-connects ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (let ((file (expand-file-name "x" nixvm-tramp-test-directory)))
      (write-region "one" nil file nil 'silent)
      (with-current-buffer (find-file-noselect (nixvm-tramp-test-name "x"))
        (set-window-buffer nil (current-buffer))
        (should-not (nixvm-tramp--stale-p))
        (write-region "two and more" nil file nil 'silent)
        (set-file-times file (time-add nil 10))
        ;; Not while TRAMP waits for an answer of the same guest.
        (let ((process (tramp-get-connection-process (tramp-dissect-file-name default-directory))))
          (tramp-set-connection-property process "locked" t)
          (should-not (nixvm-tramp--stale-p))
          (tramp-flush-connection-property process "locked"))
        (should (nixvm-tramp--stale-p))
        (nixvm-tramp-forget (nixvm-machine "demo"))
        (let ((logins (length (nixvm-tramp-test-log))))
          (should-not (nixvm-tramp--stale-p))
          (should (= logins (length (nixvm-tramp-test-log)))))))))

(provide 'nixvm-tramp-test)
;;; nixvm-tramp-test.el ends here
