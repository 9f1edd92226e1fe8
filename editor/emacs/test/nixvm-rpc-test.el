;;; nixvm-rpc-test.el --- The connection, against a scripted daemon  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Code:

(require 'ert)
(require 'nixvm-fake)

(defmacro nixvm-rpc-test--environment (variables &rest body)
  "Run BODY with the environment VARIABLES, a list of \"NAME=VALUE\" or \"NAME\"."
  (declare (indent 1))
  `(let ((process-environment (append ,variables process-environment))) ,@body))

(defmacro nixvm-rpc-test-with-program (before &rest body)
  "Run BODY with a program nixvmd that first runs BEFORE, a line of a shell.
The variable `home' is its $NIXVM_HOME."
  (declare (indent 1) (debug t))
  `(let* ((home (make-temp-file "nixvm" t))
          (nixvm-program (nixvm-fake-program home ,before))
          nixvm-socket)
     (make-directory (expand-file-name "runtime" home))
     (unwind-protect
         (nixvm-rpc-test--environment (list (concat "NIXVM_HOME=" home)) ,@body)
       (delete-directory home t))))

(ert-deftest nixvm-rpc-paths-are-what-the-program-says ()
  (nixvm-rpc-test-with-program "echo \"$*\" >>\"$NIXVM_HOME/asked\""
    (should (equal (nixvm-socket-file) (concat home "/runtime/nixvmd.sock")))
    (should (equal (nixvm-ssh-config-file) (concat home "/state/ssh/config")))
    ;; It is asked once, and starts nothing.
    (with-temp-buffer
      (insert-file-contents (expand-file-name "asked" home))
      (should (equal (buffer-string) "paths --json\n")))
    (let ((nixvm-socket "/x/y")) (should (equal (nixvm-socket-file) "/x/y")))
    (let ((nixvm-program "nixvmd-that-is-not-there")) (should-not (nixvm-socket-file)))))

(ert-deftest nixvm-rpc-connects-where-the-program-says ()
  (nixvm-fake-with nil
    (nixvm-rpc-test-with-program ""
      (let ((other (nixvm-fake-start (expand-file-name "runtime/nixvmd.sock" home))))
        (unwind-protect (should (nixvm--ensure))
          (nixvm-fake-reset)
          (nixvm-fake-stop other))))))

(ert-deftest nixvm-rpc-program-or-daemon-that-is-older-says-so ()
  (nixvm-fake-with nil
    (setf (nixvm-fake-revision nixvm-fake) nil)
    (let ((err (should-error (nixvm--ensure) :type 'user-error)))
      (should (string-match-p "running nixvmd is older than this package" (cadr err)))
      (should (string-match-p "nixvmd shutdown" (cadr err))))
    (nixvm-rpc-test-with-program "echo 'nixvmd: there is no verb \"paths\"' >&2; exit 2"
      (let ((err (should-error (nixvm--ensure) :type 'user-error)))
        (should (string-match-p "The program .* is older than this package" (cadr err)))))))

(ert-deftest nixvm-rpc-no-daemon-is-a-user-error-with-a-hint ()
  (nixvm-fake-with nil
    (let ((nixvm-socket "/nonexistent/none.sock"))
      (let ((err (should-error (nixvm--ensure) :type 'user-error)))
        (should (string-match-p "No nixvmd at /nonexistent/none.sock" (cadr err)))
        (should (string-match-p "nixvm-doctor" (cadr err)))))))

(ert-deftest nixvm-rpc-stale-socket-and-long-path-are-user-errors ()
  (nixvm-fake-with nil
    (nixvm-fake-stop nixvm-fake)
    (let ((server (make-network-process :name "x" :family 'local :service nixvm-socket :server t)))
      (delete-process server))
    (should-error (nixvm--ensure) :type 'user-error)
    (let ((nixvm-socket (concat "/tmp/" (make-string 120 ?x))))
      (should-error (nixvm--ensure) :type 'user-error))))

(ert-deftest nixvm-rpc-missing-program-says-what-to-do ()
  (nixvm-fake-with nil
    (nixvm-fake-stop nixvm-fake)
    (let* ((nixvm-start-daemon t) (nixvm-program "nixvmd-that-is-not-there")
           (err (should-error (nixvm--ensure) :type 'user-error)))
      (should (string-match-p "nixvm-program" (cadr err))))))

(ert-deftest nixvm-rpc-daemon-that-does-not-start-says-why ()
  (nixvm-fake-with nil
    (nixvm-fake-stop nixvm-fake)
    (let* ((dir (make-temp-file "nixvm" t))
           (program (expand-file-name "broken" dir))
           (nixvm-start-daemon t) (nixvm-program program))
      (write-region "#!/bin/sh\n# says why\necho 'disk is full' >&2\nexit 1\n" nil program nil 'silent)
      (set-file-modes program #o755)
      (unwind-protect
          (let ((err (should-error (nixvm--ensure) :type 'user-error)))
            (should (string-match-p "disk is full" (cadr err))))
        (delete-directory dir t)))))

(ert-deftest nixvm-rpc-starts-the-daemon-when-none-runs ()
  (nixvm-fake-with nil
    (nixvm-rpc-test-with-program "echo \"$*\" >>\"$NIXVM_HOME/asked\""
      (let* ((file (expand-file-name "runtime/nixvmd.sock" home))
             (nixvm-start-daemon t) other
             (real (symbol-function 'nixvm--program-said)))
        (cl-letf (((symbol-function 'nixvm--program-said)
                   (lambda (process event)
                     (unless (process-live-p process)
                       (setq other (nixvm-fake-start file)))
                     (funcall real process event))))
          (unwind-protect
              (progn
                (should (nixvm--ensure))
                (should (equal (oref (nixvm--live) version) "9.9"))
                (with-temp-buffer
                  (insert-file-contents (expand-file-name "asked" home))
                  (should (equal (buffer-string) "paths --json --start\n"))))
            (nixvm-fake-reset)
            (when other (nixvm-fake-stop other))))))))

(ert-deftest nixvm-rpc-non-ascii-goes-both-ways ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo" :reason "höß – 日本語 🎉"))
    (nixvm--ensure)
    (should (equal (plist-get (nixvm-machine "demo") :reason) "höß – 日本語 🎉"))
    (nixvm-fake-on "nixvm/snapshot/create" (lambda (params &rest _) (list :echo params)))
    (should (equal (plist-get (plist-get (nixvm--call "nixvm/snapshot/create"
                                                      '(:description "naïve – 日本語 🎉"))
                                         :echo)
                              :description)
                   "naïve – 日本語 🎉"))))

(ert-deftest nixvm-rpc-non-ascii-survives-the-locale-c ()
  "The coding system of the connection does not depend on the locale."
  (nixvm-fake-with (list (nixvm-fake-machine "demo" :reason "höß 日本語"))
    (let* ((default-directory temporary-file-directory)
           (process-environment (append '("LC_ALL=C" "LANG=C") process-environment))
           (out (generate-new-buffer " *locale*"))
           (process
            (make-process
             :name "locale" :buffer out :noquery t
             :command (list (expand-file-name invocation-name invocation-directory) "-Q" "--batch"
                            "-L" (file-name-directory (locate-library "nixvm"))
                            "--eval"
                            (format "(progn (require 'nixvm) (setq nixvm-socket %S nixvm-start-daemon nil)
  (nixvm--ensure)
  (princ (equal (plist-get (nixvm-machine \"demo\") :reason) \"h\\u00f6\\u00df \\u65e5\\u672c\\u8a9e\")))"
                                    nixvm-socket)))))
      (nixvm-fake-wait (not (process-live-p process)) 60)
      (accept-process-output process 1)
      (should (equal (process-exit-status process) 0))
      (with-current-buffer out
        (goto-char (point-min))
        (should (re-search-forward "^t" nil t))
        (kill-buffer)))))

(ert-deftest nixvm-rpc-error-has-message-and-hint ()
  (nixvm-fake-with nil
    (nixvm-fake-answer "nixvm/snapshot/list"
                       '(:error -32803 "demo does not exist"
                                (:code "vm.not_found" :hint "nixvmd create demo" :retryable :json-false)))
    (let ((err (should-error (nixvm--call "nixvm/snapshot/list" '(:name "demo")) :type 'user-error)))
      (should (equal (cadr err) "demo does not exist.  Hint: nixvmd create demo"))
      (should (equal (plist-get nixvm--last-error :code) "vm.not_found")))
    (let (seen)
      (nixvm--async "nixvm/snapshot/list" nil #'ignore (lambda (e) (setq seen e)))
      (nixvm-fake-wait seen)
      (should (equal (plist-get seen :hint) "nixvmd create demo")))))

(ert-deftest nixvm-rpc-silent-daemon-times-out ()
  (nixvm-fake-with nil
    (nixvm--ensure)
    (nixvm-fake-answer "nixvm/snapshot/list" 'later)
    (let ((nixvm-request-timeout 0.2))
      (should-error (nixvm--call "nixvm/snapshot/list" nil) :type 'user-error))
    ;; And the connection is as good as before.
    (should (nixvm--call "nixvm/profile/list" nil))))

(ert-deftest nixvm-rpc-death-in-the-middle-ends-requests-at-once ()
  (nixvm-fake-with nil
    (nixvm--ensure)
    (nixvm-fake-on "nixvm/snapshot/list"
                   (lambda (&rest _) (nixvm-fake-stop nixvm-fake) 'later))
    ;; This request has no limit of time: only the death ends it.
    (let (seen)
      (nixvm--async "nixvm/snapshot/list" nil #'ignore (lambda (e) (setq seen e)))
      (nixvm-fake-wait seen)
      (should (equal (plist-get seen :code) "daemon.gone"))
      (should-not (nixvm--live)))))

(ert-deftest nixvm-rpc-refused-session-says-why ()
  (nixvm-fake-with nil
    (nixvm-fake-answer "initialize" '(:error -32602 "no common protocol version"
                                             (:code "session.protocol_unsupported" :hint "update")))
    (let ((err (should-error (nixvm--ensure) :type 'user-error)))
      (should (string-match-p "no common protocol version.*update" (cadr err))))
    (should-not nixvm--starting)))

(ert-deftest nixvm-rpc-daemon-that-is-about-to-go-is-tried-again ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (let ((times 0))
      (nixvm-fake-on "initialize"
                     (lambda (&rest args)
                       (if (> (cl-incf times) 2)
                           (apply (nixvm-fake--default nixvm-fake "initialize") args)
                         (mapc #'delete-process (nixvm-fake-clients nixvm-fake))
                         'later)))
      (should (nixvm--ensure))
      (should (= times 3)))
    (nixvm-disconnect)
    (nixvm-fake-on "initialize"
                   (lambda (&rest _) (mapc #'delete-process (nixvm-fake-clients nixvm-fake)) 'later))
    (should-error (nixvm--ensure) :type 'user-error)))

(ert-deftest nixvm-rpc-daemon-that-is-gone-before-the-first-word-is-tried-again ()
  "After a kill -9 the connection may end before anything can be sent over it."
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (let ((times 0) (real (symbol-function 'nixvm--open-socket)))
      (cl-letf (((symbol-function 'nixvm--open-socket)
                 (lambda ()
                   (let ((process (funcall real)))
                     (when (< (cl-incf times) 3) (delete-process process))
                     process))))
        (should (nixvm--ensure))
        (should (= times 3))
        (nixvm-disconnect)
        ;; One that is never there is given up, with a reason, and asked again
        ;; by the next command.
        (setq times -100)
        (should-error (nixvm--ensure) :type 'user-error)
        (should-not nixvm--starting)
        (should nixvm--connection-error))
      (should (nixvm--ensure)))))

(ert-deftest nixvm-rpc-connecting-warns-of-nothing ()
  (nixvm-fake-with nil
    (let (warned)
      (cl-letf (((symbol-function 'display-warning) (lambda (&rest args) (push args warned))))
        (dolist (nixvm-events-buffer-size '(0 1000 nil))
          (nixvm--ensure)
          (nixvm-disconnect)))
      (should-not warned))))

(ert-deftest nixvm-rpc-connects-again-while-a-list-is-open ()
  (nixvm-fake-with (list (nixvm-fake-machine "one"))
    (let ((nixvm-autoreconnect t) (file (nixvm-fake-file nixvm-fake)))
      (save-window-excursion (nixvm-list))
      (nixvm-fake-wait (nixvm-machine "one"))
      (nixvm-fake-wait (nixvm--live))
      (nixvm-fake-stop nixvm-fake)
      (setq nixvm-fake (nixvm-fake-start file))
      (setf (nixvm-fake-machines nixvm-fake) (list (nixvm-fake-machine "two")))
      (nixvm-fake-wait (and (nixvm--live) (nixvm-machine "two")))
      (should-not (nixvm-machine "one")))))

(ert-deftest nixvm-rpc-does-not-connect-again-when-not-needed ()
  (nixvm-fake-with nil
    (let ((nixvm-autoreconnect t))
      (nixvm--ensure)
      (nixvm-fake-stop nixvm-fake)
      (nixvm-fake-wait (not (nixvm--live)))
      (should-not nixvm--starting)
      (should (equal (plist-get nixvm--connection-error :code) "daemon.gone")))))

(ert-deftest nixvm-rpc-5000-notifications-arrive-and-draw-once ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (nixvm--ensure)
    (let* ((draws 0)
           (nixvm--refresh-functions (list (lambda () (cl-incf draws)))))
      (dotimes (i 5000)
        (nixvm-fake-change (nixvm-fake-machine "demo" :memoryMiB i)))
      (nixvm-fake-wait (equal (plist-get (nixvm-machine "demo") :memoryMiB) 4999) 60)
      (nixvm-fake-wait (> draws 0))
      (should (< draws 500)))))

(ert-deftest nixvm-rpc-error-in-a-handler-loses-nothing ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (nixvm--ensure)
    (let* ((said nil) (debug-on-error nil)
           (nixvm-change-functions (list (lambda (&rest _) (push t said) (error "Boom")))))
      (nixvm-fake-change (nixvm-fake-machine "demo" :memoryMiB 1))
      (nixvm-fake-change (nixvm-fake-machine "demo" :memoryMiB 2))
      (nixvm-fake-wait (>= (length said) 2))
      (should (equal (plist-get (nixvm-machine "demo") :memoryMiB) 2)))))

(defun nixvm-rpc-test--change (memory)
  "A notification as the filter gets it: demo has MEMORY now."
  (let ((body (encode-coding-string
               (json-serialize
                (list :jsonrpc "2.0" :method "nixvm/didChange"
                      :params (list :changed (vector (nixvm-fake-machine "demo" :memoryMiB memory
                                                                         :reason "höß 日本語"))))
                :false-object :json-false)
               'utf-8)))
    (decode-coding-string (format "Content-Length: %d\r\n\r\n%s" (length body) body)
                          (car (process-coding-system (jsonrpc--process nixvm--connection))))))

(ert-deftest nixvm-rpc-messages-come-in-pieces-or-several-at-once ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (nixvm--ensure)
    (let* (seen
           (nixvm--notification-handlers
            (list (cons 'nixvm/didChange
                        (lambda (params) (push (elt (plist-get params :changed) 0) seen)))))
           (process (jsonrpc--process nixvm--connection))
           (all (mapconcat #'nixvm-rpc-test--change '(1 2 3) "")))
      (dolist (piece (list (length all) 1 7 250))
        (setq seen nil)
        (dolist (part (seq-partition all piece))
          (funcall (process-filter process) process part))
        (should (equal (mapcar (lambda (m) (plist-get m :memoryMiB)) seen) '(3 2 1)))
        (should (equal (plist-get (car seen) :reason) "höß 日本語")))
      (should (zerop (buffer-size (process-buffer process)))))))

(ert-deftest nixvm-rpc-body-that-is-no-json-is-skipped ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (nixvm--ensure)
    (let ((process (jsonrpc--process nixvm--connection)) (debug-on-error nil))
      (should (seq-find (lambda (text) (string-match-p "nixvmd sent no message" text))
                        (nixvm-fake-messages
                          (funcall (process-filter process) process
                                   (concat "Content-Length: 5\r\n\r\nhello" (nixvm-rpc-test--change 77))))))
      (should (equal (plist-get (nixvm-machine "demo") :memoryMiB) 77)))))

(ert-deftest nixvm-rpc-log-of-the-protocol-has-both-directions ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (let ((nixvm-events-buffer-size nil))
      (nixvm--ensure)
      (with-current-buffer (jsonrpc-events-buffer nixvm--connection)
        (should (string-match-p "nixvm/machine/list" (buffer-string)))
        (should (string-match-p "serverInfo" (buffer-string)))))))

(ert-deftest nixvm-rpc-works-from-a-remote-buffer ()
  (nixvm-fake-with nil
    (let ((default-directory "/ssh:nowhere.invalid:/"))
      (should (nixvm--ensure)))))

(ert-deftest nixvm-buffers-of-ours-lie-on-this-computer ()
  "In any current directory: a command in them opens no connection."
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (setf (nixvm-fake-methods nixvm-fake) (append '("nixvm/image/list") nixvm-fake-methods))
    (nixvm-fake-answer "nixvm/image/list" '(:images []))
    (nixvm-fake-answer "nixvm/doctor" '(:findings []))
    (let ((before (buffer-list))
          (nixvm-events-buffer-size 1000)
          (default-directory "/nixvm:demo:/home/user/"))
      (cl-letf (((symbol-function 'tramp-maybe-open-connection)
                 (lambda (&rest _) (error "Connected"))))
        (save-window-excursion
          (dolist (command '(nixvm nixvm-doctor nixvm-log nixvm-images))
            (with-temp-buffer
              (setq default-directory "/nixvm:demo:/home/user/")
              (funcall command)))
          (nixvm-fake-wait (nixvm-fake-received-p "nixvm/doctor"))
          (nixvm--log-message '(:message "x"))
          (should (string-match-p "\\`agent\\'\\|\\`user\\'" (nixvm--project-name)))))
      (dolist (buffer (cl-set-difference
                       (cl-remove-if-not (lambda (b) (string-search "nixvm" (buffer-name b)))
                                         (buffer-list))
                       before))
        (ert-info ((buffer-name buffer))
          (should-not (file-remote-p (buffer-local-value 'default-directory buffer)))))
      (dolist (name '("*nixvm*" "*nixvm doctor*" "*nixvm log*" "*nixvm images*"))
        (should (get-buffer name)))
      (kill-buffer "*nixvm images*"))))

(provide 'nixvm-rpc-test)
;;; nixvm-rpc-test.el ends here
