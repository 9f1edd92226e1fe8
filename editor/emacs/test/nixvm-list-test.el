;;; nixvm-list-test.el --- The list of machines  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Code:

(require 'ert)
(require 'nixvm-fake)
(require 'nixvm-transient)

(defmacro nixvm-list-test-with (machines &rest body)
  "Run BODY in a list of MACHINES."
  (declare (indent 1) (debug t))
  `(nixvm-fake-with ,machines
     (save-window-excursion
       (nixvm)
       (nixvm-fake-wait (and (nixvm--live)
                             (= (hash-table-count nixvm--machines)
                                (length (nixvm-fake-machines nixvm-fake)))))
       (with-current-buffer nixvm-list-buffer
         (nixvm--list-print)
         ,@body))))

(defun nixvm-list-test-row (name)
  "The line of NAME."
  (save-excursion
    (goto-char (point-min))
    (while (not (or (eobp) (equal (tabulated-list-get-id) name))) (forward-line 1))
    (buffer-substring (line-beginning-position) (line-end-position))))

(defun nixvm-list-test-go (name)
  "Move to the line of NAME."
  (goto-char (point-min))
  (while (not (or (eobp) (equal (tabulated-list-get-id) name))) (forward-line 1)))

(ert-deftest nixvm-list-shows-machines-with-their-state ()
  (nixvm-list-test-with (list (nixvm-fake-machine "b" :state "stopped" :ready :json-false)
                              (nixvm-fake-machine "a")
                              (nixvm-fake-machine "c" :ready :json-false)
                              (nixvm-fake-machine "d" :state "broken" :reason "disk_size: line 1"))
    (should (string-match-p "a +running +claude,dev +4 GiB +2 +20 GiB +laptop +a"
                            (nixvm-list-test-row "a")))
    (should (string-match-p "stopped" (nixvm-list-test-row "b")))
    (should (string-match-p "booting" (nixvm-list-test-row "c")))
    (should (string-match-p "broken: disk_size: line 1" (nixvm-list-test-row "d")))
    (should (equal (substring-no-properties (nixvm--list-mode-line)) " 2 up of 4"))
    (nixvm-list-test-go "a")
    (should (search-forward "running" (line-end-position)))
    (should (eq (get-text-property (1- (point)) 'face) 'nixvm-running))))

;; The daemon says when there are too many: nothing is counted here.
(ert-deftest nixvm-list-warns-of-too-many-snapshots ()
  (nixvm-list-test-with (list (nixvm-fake-machine "a" :snapshots '(:count 214 :warning "a has 214 snapshots"))
                              (nixvm-fake-machine "b" :snapshots '(:count 2)))
    (nixvm-list-test-go "a")
    (should (search-forward "running" (line-end-position)))
    (should (equal (get-text-property (1- (point)) 'help-echo) "a has 214 snapshots"))
    (nixvm-list-test-go "b")
    (should (search-forward "running" (line-end-position)))
    (should-not (get-text-property (1- (point)) 'help-echo))))

(ert-deftest nixvm-list-is-pushed-not-polled ()
  (nixvm-list-test-with (list (nixvm-fake-machine "a"))
    (let ((asked (length (nixvm-fake-received nixvm-fake))))
      (nixvm-fake-change (nixvm-fake-machine "a" :state "stopped"))
      (nixvm-fake-wait (string-match-p "stopped" (nixvm-list-test-row "a")))
      (nixvm-fake-push nixvm-fake "nixvm/didChange" '(:removed ["a"]))
      (nixvm-fake-wait (string-match-p "There are no machines yet" (buffer-string)))
      (should (= asked (length (nixvm-fake-received nixvm-fake)))))))

(ert-deftest nixvm-list-shows-progress-in-the-row ()
  (nixvm-list-test-with (list (nixvm-fake-machine "a"))
    (nixvm-fake-push nixvm-fake "nixvm/didChange"
                     (list :changed (vector (nixvm-fake-machine "a" :operation "1"))
                           :operations (vector (nixvm-fake-operation "1" "reboot" "a" :percent 40
                                                                     :message "waiting for the guest"))))
    (nixvm-fake-wait (string-match-p "reboot 40% waiting" (nixvm-list-test-row "a")))
    (nixvm-fake-push nixvm-fake "nixvm/didChange"
                     (list :changed (vector (nixvm-fake-machine "a"))
                           :operations (vector (nixvm-fake-operation "1" "reboot" "a" :state "succeeded"))))
    (nixvm-fake-wait (string-match-p "running" (nixvm-list-test-row "a")))))

(ert-deftest nixvm-list-shows-long-progress-over-the-columns-behind ()
  (nixvm-list-test-with (list (nixvm-fake-machine "a") (nixvm-fake-machine "b"))
    (let ((long "the guest is up; waiting for its SSH server"))
      (nixvm-fake-push nixvm-fake "nixvm/didChange"
                       (list :changed (vector (nixvm-fake-machine "a" :operation "1"))
                             :operations (vector (nixvm-fake-operation "1" "create" "a" :percent 100 :message long))))
      (nixvm-fake-wait (string-search (concat "create 100% " long) (nixvm-list-test-row "a")))
      ;; What comes after it is where it is in other rows, and an endless text ends.
      (should (equal (string-match "laptop" (nixvm-list-test-row "a"))
                     (string-match "laptop" (nixvm-list-test-row "b"))))
      (nixvm-fake-push nixvm-fake "nixvm/didChange"
                       (list :changed (vector (nixvm-fake-machine "a" :state "broken" :reason (make-string 300 ?x)))))
      (nixvm-fake-wait (string-match-p "broken: x+… +a$" (nixvm-list-test-row "a"))))))

(ert-deftest nixvm-list-keeps-point-and-marks-by-machine ()
  (nixvm-list-test-with (list (nixvm-fake-machine "b") (nixvm-fake-machine "d"))
    (nixvm-list-test-go "b")
    (nixvm-list-mark)
    (nixvm-list-test-go "d")
    (nixvm-fake-change (nixvm-fake-machine "a") (nixvm-fake-machine "c")
                       (nixvm-fake-machine "b" :memoryMiB 1024))
    (nixvm-fake-wait (string-match-p "1 GiB" (nixvm-list-test-row "b")))
    (should (equal (tabulated-list-get-id) "d"))
    (should (string-prefix-p "*" (nixvm-list-test-row "b")))
    (should (equal (nixvm--list-targets) '("b")))
    (should-not (buffer-modified-p))
    (nixvm-list-unmark-all)
    (should (equal (nixvm--list-targets) '("d")))))

(ert-deftest nixvm-list-empty-says-what-to-do ()
  (nixvm-list-test-with nil
    (should (string-match-p "There are no machines yet" (buffer-string)))
    (should (string-match-p "c  creates one" (buffer-string)))))

(ert-deftest nixvm-list-without-daemon-offers-doctor ()
  (nixvm-fake-with nil
    (nixvm-fake-stop nixvm-fake)
    (save-window-excursion
      (nixvm)
      (nixvm-fake-wait nixvm--connection-error)
      (with-current-buffer nixvm-list-buffer
        (nixvm-fake-wait (string-match-p "No nixvmd at" (buffer-string)))
        (should (string-match-p "d  diagnoses the problem" (buffer-string)))
        (should (string-match-p "offline" (nixvm--list-mode-line)))))))

(ert-deftest nixvm-list-columns-are-an-option ()
  (let ((nixvm-list-columns (list 'name 'image '("Twice" 8 t (lambda (m) (concat (plist-get m :name)
                                                                                 (plist-get m :name)))))))
    (nixvm-list-test-with (list (nixvm-fake-machine "a"))
      (should (string-match-p "a +nixos +aa" (nixvm-list-test-row "a")))))
  (let ((nixvm-list-columns '(nonsense)))
    (should-error (with-temp-buffer (nixvm-list-mode)) :type 'user-error)))

(ert-deftest nixvm-list-guest-text-cannot-act ()
  "Text of a guest is shown as it is, without control characters taking effect."
  (nixvm-list-test-with (list (nixvm-fake-machine "a" :state "crashed" :reason "%s \\[kill-emacs] (x)"))
    (should (string-match-p (regexp-quote "crashed: %s \\[kill-emacs]") (nixvm-list-test-row "a")))))

(ert-deftest nixvm-list-every-key-is-a-command ()
  (map-keymap (lambda (_key command)
                (when (and (symbolp command) (string-prefix-p "nixvm" (symbol-name command)))
                  (should (commandp command))))
              nixvm-list-mode-map)
  (should (eq (lookup-key nixvm-list-mode-map "?") 'nixvm-menu)))

(ert-deftest nixvm-list-describe-shows-everything ()
  (nixvm-list-test-with (list (nixvm-fake-machine "a" :reason "the guest powered off" :problem '(:message "no host key" :hint "restore it")))
    (nixvm-list-test-go "a")
    (nixvm-list-describe)
    (with-current-buffer (help-buffer)
      (should (string-match-p "no host key.  Hint: restore it" (buffer-string)))
      (should (string-match-p "the guest powered off" (buffer-string)))
      (should (string-match-p "Mode +immutable" (buffer-string))))))

(ert-deftest nixvm-list-describe-shows-what-the-disk-takes ()
  (nixvm-list-test-with (list (nixvm-fake-machine "a" :disk '(:virtualBytes 32212254720 :usedBytes 5368709120 :snapshotBytes 1073741824))
                              (nixvm-fake-machine "b" :disk '(:virtualBytes 32212254720 :usedBytes 4096)))
    (cl-loop for (name text) in '(("a" "Disk used +5 GiB (1 GiB by snapshots)") ("b" "Disk used +1 MiB\n"))
             do (nixvm-list-test-go name)
             (nixvm-list-describe)
             (with-current-buffer (help-buffer)
               (should (string-match-p text (buffer-string)))))))

(defconst nixvm-list-test-unresolved
  '(:kind "create" :machine "half" :state "unresolved" :steps 3 :done 1
    :started "2026-01-02T03:04:05Z"
    :problem (:code "vm.create_failed" :message "its directory cannot be removed"
              :hint "nixvmd operations undo 01 tries again" :retryable :json-false)
    :choices [(:action "undo" :effect "deletes the disk and the settings of half" :confirm t)
              (:action "forget" :effect "leaves what is there")])
  "An operation that waits for a choice.")

(defun nixvm-list-test-operation (id &rest fields)
  "The unresolved operation ID with FIELDS changed."
  (let ((op (append (list :id id) (copy-sequence nixvm-list-test-unresolved))))
    (while fields (setq op (plist-put op (pop fields) (pop fields))))
    op))

(ert-deftest nixvm-list-shows-what-could-not-be-undone ()
  (nixvm-list-test-with (list (nixvm-fake-machine "a") (nixvm-fake-machine "b"))
    (nixvm-fake-push nixvm-fake "nixvm/didChange"
                     (list :operations (vector (nixvm-list-test-operation "01")
                                               (nixvm-list-test-operation "02" :kind "snapshot" :machine "a"))))
    ;; Also of a machine that is in no list any more.
    (nixvm-fake-wait (string-match-p "half +unresolved create: its directory cannot" (nixvm-list-test-row "half")))
    (should (string-match-p "a +running, unresolved snapshot: " (nixvm-list-test-row "a")))
    (should (string-match-p "2 unresolved" (nixvm--list-mode-line)))
    (nixvm-list-test-go "half")
    (nixvm-list-describe)
    (with-current-buffer (help-buffer)
      (should (string-match-p "undo +deletes the disk and the settings of half" (buffer-string))))
    ;; When they have ended they are gone.
    (nixvm-fake-push nixvm-fake "nixvm/didChange"
                     (list :operations (vector (nixvm-list-test-operation "01" :state "cancelled" :choices nil)
                                               (nixvm-list-test-operation "02" :state "succeeded" :choices nil))))
    (nixvm-fake-wait (string-empty-p (nixvm-list-test-row "half")))
    (should (string-match-p "a +running +claude" (nixvm-list-test-row "a")))
    (should-not (string-match-p "unresolved" (nixvm--list-mode-line)))))

(ert-deftest nixvm-resolve-offers-what-the-daemon-does-and-asks-first ()
  (nixvm-list-test-with (list (nixvm-fake-machine "a"))
    (setf (nixvm-fake-methods nixvm-fake) (cons "nixvm/operation/resolve" nixvm-fake-methods)
          (nixvm-fake-operations nixvm-fake) (list (nixvm-list-test-operation "01")))
    (nixvm-disconnect)
    (nixvm--ensure)
    (should (equal (mapcar (lambda (op) (plist-get op :id)) (nixvm--unresolved)) '("01")))
    (nixvm-fake-on "nixvm/operation/resolve"
                   (lambda (params &rest _)
                     (list :operation (nixvm-list-test-operation (plist-get params :id) :state "failed" :choices nil))))
    ;; It cannot be resumed, and undoing it wants the name.
    (should (string-match-p "No operation has the choice to resume"
                            (cadr (should-error (nixvm-resolve-resume) :type 'user-error))))
    (nixvm-fake-typing '("haalf") (should-error (nixvm-resolve-undo) :type 'user-error))
    (should (eq 'quit (condition-case nil (nixvm-fake-typing '(nil) (nixvm-resolve-forget)) (quit 'quit))))
    (should-not (nixvm-fake-received-p "nixvm/operation/resolve"))
    (nixvm-fake-typing '("undo" "half") (call-interactively #'nixvm-resolve))
    (nixvm-fake-wait (nixvm-fake-received-p "nixvm/operation/resolve"))
    (let ((params (nixvm-fake-params "nixvm/operation/resolve")))
      (should (equal (plist-get params :id) "01"))
      (should (equal (plist-get params :action) "undo"))
      (should (equal (plist-get params :confirm) "half"))
      (should (plist-get params :workDoneToken)))
    (nixvm-fake-wait (null nixvm--works))
    (nixvm-fake-wait (null (nixvm--unresolved)))
    (should-error (call-interactively #'nixvm-resolve) :type 'user-error)))

(ert-deftest nixvm-resolve-is-what-a-hint-for-the-shell-becomes ()
  (should (equal (nixvm--error-text (plist-get nixvm-list-test-unresolved :problem))
                 "its directory cannot be removed.  Hint: M-x nixvm-resolve shows the choices")))

(ert-deftest nixvm-menu-shows-what-can-be-done-now ()
  (nixvm-list-test-with (list (nixvm-fake-machine "a" :actions (nixvm-fake-keys "autostart"))
                              (nixvm-fake-machine "b" :state "stopped" :ready :json-false))
    (nixvm-list-test-go "a")
    (should (nixvm-transient--p "suspend"))
    (should (nixvm-transient--p "upgrade"))
    (should-not (nixvm-transient--p "autostart"))
    (should-not (nixvm-transient--others-p))
    (nixvm-list-test-go "b")
    (should (nixvm-transient--p "start"))
    (should-not (nixvm-transient--p "suspend"))
    ;; Of several machines, what can be done with one of them.
    (nixvm-list-test-go "a")
    (nixvm-list-mark)
    (nixvm-list-test-go "b")
    (nixvm-list-mark)
    (should (nixvm-transient--p "suspend"))
    (should (nixvm-transient--p "start")))
  (nixvm-fake-with (list (nixvm-fake-machine "a" :actions ["stop"]))
    (setf (nixvm-fake-backends nixvm-fake)
          (vector (list :name "laptop" :type "qemu" :default t :actions (nixvm-fake-keys "suspend" "resume"))))
    (nixvm--ensure)
    ;; Without a machine, what any backend can do.
    (should-not (nixvm-transient--p "suspend"))
    (should (nixvm-transient--p "start"))
    (should-not (nixvm--offered-p "suspend" (nixvm-machine "a")))))

(ert-deftest nixvm-menu-follows-what-backends-can-do ()
  (nixvm-fake-with nil
    (setf (nixvm-fake-backends nixvm-fake)
          (vector (list :name "laptop" :type "qemu" :default t :actions (nixvm-fake-keys "suspend"))))
    (nixvm--ensure)
    (should-not (nixvm-transient--p "suspend"))
    (nixvm-fake-push nixvm-fake "nixvm/didChange"
                     (list :backends (vector (list :name "laptop" :type "qemu" :default t :actions (nixvm-fake-keys)))))
    (nixvm-fake-wait (nixvm-transient--p "suspend"))))

(provide 'nixvm-list-test)
;;; nixvm-list-test.el ends here
