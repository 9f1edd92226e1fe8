;;; nixvm-command-test.el --- Commands, operations and progress  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Code:

(require 'ert)
(require 'nixvm-fake)

(defun nixvm-command-test-result (params &rest fields)
  "The answer to an operation with PARAMS, and FIELDS of the operation."
  (list :operation (append fields (list :id "1" :state "succeeded"))
        :vm (nixvm-fake-machine (plist-get params :name))))

(ert-deftest nixvm-start-is-an-operation-with-a-token ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo" :state "stopped"))
    (nixvm-fake-on "nixvm/vm/start" (lambda (params &rest _) (nixvm-command-test-result params)))
    (nixvm-fake-typing '("demo") (call-interactively #'nixvm-start))
    (nixvm-fake-wait (nixvm-fake-received-p "nixvm/vm/start"))
    (nixvm-fake-wait (null nixvm--works))
    (let ((params (nixvm-fake-params "nixvm/vm/start")))
      (should (equal (plist-get params :name) "demo"))
      (should (stringp (plist-get params :workDoneToken))))
    (nixvm-fake-wait (nixvm--up-p (nixvm-machine "demo")))))

(ert-deftest nixvm-progress-shows-in-the-echo-area ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo" :state "stopped"))
    (let (finish)
      (nixvm-fake-on "nixvm/vm/start" (lambda (_params reply) (setq finish reply) 'later))
      (let ((said (nixvm-fake-messages
                    (nixvm-start "demo")
                    (nixvm-fake-wait finish)
                    (let ((token (plist-get (nixvm-fake-params "nixvm/vm/start") :workDoneToken)))
                      (nixvm-fake-push nixvm-fake "$/progress"
                                       `(:token ,token :value (:kind "begin" :title "Start demo"
                                                                     :cancellable t :operation "op1")))
                      (setf (nixvm--work-shown (car nixvm--works)) 0)
                      (nixvm-fake-push nixvm-fake "$/progress"
                                       `(:token ,token :value (:kind "report" :percentage 50
                                                                     :message "booting")))
                      (nixvm-fake-wait (equal (nixvm--work-percentage (car nixvm--works)) 50)))
                    (funcall finish (nixvm-command-test-result '(:name "demo") :warnings ["no freeze"]))
                    (nixvm-fake-wait (null nixvm--works)))))
        (should (member "Start demo...done.  Warning: no freeze" said))
        (should (cl-find-if (lambda (s) (string-match-p "Start demo" s)) said))))))

(ert-deftest nixvm-failed-operation-says-message-and-hint ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (nixvm-fake-answer "nixvm/vm/stop" '(:error -32803 "demo is busy: reboot"
                                                (:code "vm.busy" :hint "wait, or cancel it" :retryable t)))
    (let ((said (nixvm-fake-messages (nixvm-stop "demo") (nixvm-fake-wait (null nixvm--works)))))
      (should (member "Stop demo: demo is busy: reboot.  Hint: wait, or cancel it"
                      (mapcar #'substring-no-properties said))))))

(ert-deftest nixvm-cancel-asks-the-daemon ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo" :operation "op1"))
    (setf (nixvm-fake-operations nixvm-fake) (list (nixvm-fake-operation "op1" "create" "demo")))
    (nixvm-fake-answer "nixvm/operation/cancel" '(:operation (:id "op1" :kind "create" :machine "demo")))
    (nixvm--ensure)
    (nixvm-fake-typing '("create demo") (call-interactively #'nixvm-cancel))
    (nixvm-fake-wait (equal (plist-get (nixvm-fake-params "nixvm/operation/cancel") :id) "op1"))))

(ert-deftest nixvm-cancel-without-operation-is-a-user-error ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (should-error (call-interactively #'nixvm-cancel) :type 'user-error)))

(ert-deftest nixvm-quit-right-after-a-command-cancels-it ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (nixvm-fake-answer "nixvm/vm/stop" 'later)
    (let ((this-command 'nixvm-stop) (noninteractive nil) map)
      (cl-letf (((symbol-function 'set-transient-map) (lambda (m &rest _) (setq map m))))
        (nixvm-stop "demo"))
      (nixvm-fake-wait (nixvm-fake-received-p "nixvm/vm/stop"))
      (funcall (lookup-key map (kbd "C-g")))
      (nixvm-fake-wait (equal (plist-get (nixvm-fake-params "window/workDoneProgress/cancel") :token)
                              (plist-get (nixvm-fake-params "nixvm/vm/stop") :workDoneToken))))))

(ert-deftest nixvm-operation-is-followed-after-the-daemon-died ()
  "An operation outlives the connection: what waits for it still happens."
  (nixvm-fake-with (list (nixvm-fake-machine "demo" :state "stopped"))
    (let ((nixvm-autoreconnect t) (file (nixvm-fake-file nixvm-fake)) done)
      (nixvm-fake-answer "nixvm/vm/start" 'later)
      (nixvm--begin "nixvm/vm/start" '(:name "demo") "Start demo" (lambda (_) (setq done t)))
      (nixvm-fake-wait (nixvm-fake-received-p "nixvm/vm/start"))
      (nixvm-fake-push nixvm-fake "$/progress"
                       `(:token ,(plist-get (nixvm-fake-params "nixvm/vm/start") :workDoneToken)
                         :value (:kind "begin" :operation "op7")))
      (nixvm-fake-wait (nixvm--work-id (car nixvm--works)))
      (nixvm-fake-stop nixvm-fake)
      (setq nixvm-fake (nixvm-fake-start file))
      (nixvm-fake-on "nixvm/operation/subscribe"
                     (lambda (params &rest _)
                       (should (equal (plist-get params :id) "op7"))
                       (nixvm-command-test-result '(:name "demo"))))
      (nixvm-fake-wait done)
      (should-not nixvm--works))))

(ert-deftest nixvm-restore-says-what-is-lost-and-confirms ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (nixvm-fake-answer "nixvm/snapshot/list"
                       '(:snapshots [(:name "old" :created "2026-01-02T03:04:05Z" :frozen t)
                                     (:name "new" :description "before – it" :created "2026-01-03T03:04:05Z"
                                      :frozen t)]))
    (nixvm-fake-on "nixvm/snapshot/restore"
                   (lambda (params &rest _) (nixvm-command-test-result params :safety "safety-1")))
    (let (asked said)
      (setq said
            (nixvm-fake-messages
              (nixvm-fake-typing '("demo" "")
                (cl-letf (((symbol-function 'yes-or-no-p) (lambda (p) (setq asked p) t)))
                  (call-interactively #'nixvm-restore)))
              (nixvm-fake-wait (nixvm-fake-received-p "nixvm/snapshot/restore"))
              (nixvm-fake-wait (null nixvm--works))))
      (should (string-match-p "Restore demo to new of 2026-01-0.*are removed from its disk; a safety snapshot" asked))
      (should (member "demo has been restored to new; the previous content is in the snapshot safety-1" said)))
    (let ((params (nixvm-fake-params "nixvm/snapshot/restore")))
      (should (equal (plist-get params :confirm) "demo"))
      (should (equal (plist-get params :snapshot) "new")))))

(ert-deftest nixvm-snapshots-are-annotated-with-date-and-description ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (nixvm-fake-answer "nixvm/snapshot/list"
                       '(:snapshots [(:name "old" :description "vor dem Umbau – ü"
                                      :created "2026-01-02T03:04:05Z")]))
    (let (annotation)
      (cl-letf (((symbol-function 'completing-read)
                 (lambda (_p table &rest _)
                   (setq annotation
                         (funcall (cdr (assq 'annotation-function (cdr (funcall table "" nil 'metadata))))
                                  "old"))
                   "old")))
        (nixvm--read-snapshot "Restore" "demo"))
      (should (string-match-p "2026-01-02 .*ago)  vor dem Umbau – ü" annotation)))))

(ert-deftest nixvm-destroy-wants-the-name ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (nixvm-fake-on "nixvm/vm/destroy" (lambda (&rest _) '(:operation (:id "1" :state "succeeded"))))
    (nixvm-fake-typing '("demo" "demmo")
      (should-error (call-interactively #'nixvm-destroy) :type 'user-error))
    (should-not (nixvm-fake-received-p "nixvm/vm/destroy"))
    (nixvm-fake-typing '("demo" "demo") (call-interactively #'nixvm-destroy))
    (nixvm-fake-wait (equal (plist-get (nixvm-fake-params "nixvm/vm/destroy") :confirm) "demo"))))

(ert-deftest nixvm-destroy-says-what-becomes-of-the-directory ()
  (nixvm-fake-with (list (append (nixvm-fake-machine "made") '(:removesDirectory t))
                         (nixvm-fake-machine "found"))
    (nixvm-fake-on "nixvm/vm/destroy" (lambda (&rest _) '(:operation (:id "1" :state "succeeded"))))
    (pcase-dolist (`(,name ,prefix ,text)
                   '(("made" nil "too (use a prefix argument to keep it)") ("made" (4) "is kept\\.")
                     ("found" nil "is kept, because")))
      (let (asked)
        (cl-letf (((symbol-function 'nixvm--confirm-by-name) (lambda (_ what) (setq asked what)))
                  (current-prefix-arg prefix))
          (nixvm-fake-typing (list name) (call-interactively #'nixvm-destroy)))
        (should (string-match-p text asked))
        (nixvm-fake-wait (equal (plist-get (nixvm-fake-params "nixvm/vm/destroy") :name) name))
        (nixvm-fake-wait (eq (and prefix t)
                             (plist-get (nixvm-fake-params "nixvm/vm/destroy") :keepMachine)))))))

(ert-deftest nixvm-bulk-works-on-all-marked ()
  (nixvm-fake-with (list (nixvm-fake-machine "a") (nixvm-fake-machine "b") (nixvm-fake-machine "c"))
    (nixvm-fake-on "nixvm/vm/stop" (lambda (params &rest _) (nixvm-command-test-result params)))
    (nixvm--ensure)
    (save-window-excursion
      (nixvm)
      (with-current-buffer nixvm-list-buffer
        (setq nixvm--list-marks '("c" "a"))
        (call-interactively #'nixvm-stop)
        (should-error (call-interactively #'nixvm-destroy) :type 'user-error)))
    (nixvm-fake-wait (= 2 (cl-count "nixvm/vm/stop" (nixvm-fake-received nixvm-fake)
                                    :key #'car :test #'equal)))))

(ert-deftest nixvm-forward-of-one-port-means-the-same-here ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (nixvm-fake-answer "nixvm/forward/list" '(:forwards []))
    (nixvm-fake-answer "nixvm/forward/add"
                       '(:forwards [(:listen "8080" :target "localhost:8080" :daemon :json-false
                                     :state "active")]))
    (let ((said (nixvm-fake-messages
                  (nixvm-fake-typing '("demo" "8080") (call-interactively #'nixvm-forward-add))
                  (nixvm-fake-wait (nixvm-fake-received-p "nixvm/forward/add"))
                  (nixvm--call "nixvm/profile/list" nil))))
      (should (equal (plist-get (nixvm-fake-params "nixvm/forward/add") :forward)
                     "8080 localhost:8080"))
      (should (member "demo forwards 8080 localhost:8080 (active)" said)))))

(ert-deftest nixvm-other-operations-come-from-the-daemon ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo" :actions ["stop" "rebuild" "resize" "look"]))
    (setf (nixvm-fake-verbs nixvm-fake)
          (vconcat (nixvm-fake-rules :verbs)
                   [(:key "rebuild" :method "nixvm/vm/rebuild" :title "Rebuild" :operation t)
                    (:key "resize" :method "nixvm/vm/resize" :title "Resize" :operation t)
                    (:key "rename" :method "nixvm/vm/rename" :title "Rename" :operation t)
                    (:key "look" :method "nixvm/vm/look" :title "Look")]))
    (nixvm--ensure)
    ;; What can be done with it now, begins an operation, and has no command.
    (should (equal (nixvm--other-verbs (nixvm-machine "demo")) '("rebuild" "resize")))
    (nixvm-fake-on "nixvm/vm/rebuild"
                   (lambda (params &rest _)
                     (cond ((not (plist-get params :to))
                            '(:error -32602 "to: is required" (:code "params.invalid")))
                           ((not (plist-get params :confirm))
                            '(:error -32602 "confirm: must repeat the name" (:code "confirm.required")))
                           (t '(:operation (:id "1" :state "succeeded"))))))
    (nixvm-fake-on "nixvm/vm/resize"
                   (lambda (params &rest _)
                     (if (numberp (plist-get params :memoryMiB))
                         '(:operation (:id "1" :state "succeeded"))
                       (list :error -32602
                             (if (plist-get params :memoryMiB)
                                 "memoryMiB: must be an integer, not string"
                               "memoryMiB: is required")
                             '(:code "params.invalid")))))
    (nixvm-fake-typing '("demo" "rebuild" "copy" "demo")
      (call-interactively #'nixvm-operation)
      (nixvm-fake-wait (equal (plist-get (nixvm-fake-params "nixvm/vm/rebuild") :confirm) "demo")))
    (should (equal (plist-get (nixvm-fake-params "nixvm/vm/rebuild") :to) "copy"))
    (nixvm-fake-typing '("demo" "resize" "2048")
      (call-interactively #'nixvm-operation)
      (nixvm-fake-wait (equal (plist-get (nixvm-fake-params "nixvm/vm/resize") :memoryMiB) 2048)))))

(ert-deftest nixvm-clone-copies-a-snapshot-or-the-disk-as-it-is ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo" :state "stopped" :ready :json-false))
    (setf (nixvm-fake-backends nixvm-fake)
          (vector (list :name "laptop" :type "qemu" :default t :actions (nixvm-fake-keys)
                        :capabilities '(:bridge t))))
    (nixvm-fake-answer "nixvm/backend/bridges" '(:bridges [(:name "br0" :up t)]))
    (let* (created (nixvm-after-create-functions (list (lambda (m) (push (plist-get m :name) created)))))
      (nixvm-fake-on "nixvm/vm/clone"
                     (lambda (params &rest _)
                       (nixvm-command-test-result (list :name (plist-get params :newName)))))
      (nixvm-fake-answer "nixvm/snapshot/list" '(:snapshots [(:name "clean" :created "2026-01-02T03:04:05Z")]))
      (nixvm-fake-typing '("demo" "" "") (call-interactively #'nixvm-clone))
      (nixvm-fake-wait created)
      (let ((params (nixvm-fake-params "nixvm/vm/clone")))
        (should (equal (plist-get params :newName) "demo-2"))
        (should-not (plist-member params :snapshot))
        (should-not (plist-member params :memoryMiB)))
      (let ((current-prefix-arg '(4)))
        (nixvm-fake-typing '("demo" "copy" "clean" "2G" "" "" "bridge:br0" "dev" "semi-mutable")
          (call-interactively #'nixvm-clone)))
      (nixvm-fake-wait (member "copy" created))
      (let ((params (nixvm-fake-params "nixvm/vm/clone")))
        (should (equal (plist-get params :snapshot) "clean"))
        (should (equal (plist-get params :memoryMiB) 2048))
        (should (equal (plist-get params :network) "bridge:br0"))
        (should (equal (plist-get params :profiles) ["dev"]))
        (should (equal (plist-get params :mode) "semi-mutable"))
        ;; What stays as it is is left to the daemon, which knows it to the byte.
        (should-not (plist-member params :vcpus))
        (should-not (plist-member params :diskBytes)))
      (let ((current-prefix-arg '(4)))
        (nixvm-fake-typing '("demo" "same" "clean" "" "" "" "nat" "claude,dev" "")
          (call-interactively #'nixvm-clone)))
      (nixvm-fake-wait (member "same" created))
      (should (equal (nixvm--without :workDoneToken (nixvm-fake-params "nixvm/vm/clone"))
                     '(:name "demo" :newName "same" :snapshot "clean"))))))

(ert-deftest nixvm-clone-of-what-runs-shuts-it-down-if-one-agrees ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (nixvm-fake-answer "nixvm/snapshot/list" '(:snapshots []))
    (nixvm-fake-on "nixvm/vm/stop" (lambda (params &rest _) (nixvm-command-test-result params)))
    (nixvm-fake-on "nixvm/vm/clone" (lambda (params &rest _) (nixvm-command-test-result params)))
    (should (eq 'quit (condition-case nil
                          (nixvm-fake-typing '("demo" "copy" nil) (call-interactively #'nixvm-clone))
                        (quit 'quit))))
    (should-not (nixvm-fake-received-p "nixvm/vm/stop"))
    (nixvm-fake-typing '("demo" "copy" t) (call-interactively #'nixvm-clone))
    (nixvm-fake-wait (nixvm-fake-received-p "nixvm/vm/clone"))
    (should (nixvm-fake-received-p "nixvm/vm/stop"))
    (nixvm-fake-wait (null nixvm--works))))

(defun nixvm-command-test-backends ()
  "Backends, of which two can migrate."
  (vector (list :name "laptop" :type "qemu" :default t :actions (nixvm-fake-keys "migrate" "autostart"))
          (list :name "one" :type "libvirt" :default :json-false :actions (nixvm-fake-keys) :migratesTo ["two"])
          (list :name "two" :type "libvirt" :default :json-false :actions (nixvm-fake-keys) :migratesTo ["one"])
          (list :name "odd" :type "libvirt" :default :json-false :actions (nixvm-fake-keys "migrate"))))

(ert-deftest nixvm-migrate-moves-between-the-nodes-of-a-cluster ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo" :backend "lab" :node "n0"))
    (let ((lab (list :name "lab" :type "proxmox" :default t :actions (nixvm-fake-keys)
                     :capabilities '(:nodes t))))
      (setf (nixvm-fake-backends nixvm-fake) (vector lab))
      (nixvm-fake-answer "nixvm/backend/list" (list :backends (vector lab))))
    (nixvm-fake-answer "nixvm/backend/nodes"
                       '(:backend "lab" :nodes [(:name "n0" :online t) (:name "n1" :online t) (:name "n2" :online :json-false)]))
    (nixvm-fake-answer "nixvm/vm/migrate" '(:operation (:id "1" :state "succeeded")))
    (nixvm--ensure)
    (nixvm-fake-typing '("demo" "n1" t) (call-interactively #'nixvm-migrate))
    (nixvm-fake-wait (nixvm-fake-received-p "nixvm/vm/migrate"))
    (nixvm-fake-wait (null nixvm--works))
    (should (equal (nixvm--without :workDoneToken (nixvm-fake-params "nixvm/vm/migrate"))
                   '(:name "demo" :backend "" :node "n1")))
    (nixvm-fake-answer "nixvm/backend/nodes" '(:backend "lab" :nodes [(:name "n0" :online t) (:name "n1" :online :json-false)]))
    (should (string-match-p "No other node of lab is online"
                            (cadr (should-error (nixvm--migration-targets (nixvm-machine "demo"))
                                                :type 'user-error))))))

(ert-deftest nixvm-migrate-offers-only-where-the-vm-can-go ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo" :backend "one")
                         (nixvm-fake-machine "here" :actions (nixvm-fake-keys "migrate")))
    (setf (nixvm-fake-backends nixvm-fake) (nixvm-command-test-backends))
    (nixvm-fake-answer "nixvm/backend/list" (list :backends (nixvm-command-test-backends)))
    (nixvm-fake-answer "nixvm/vm/migrate" (list :operation '(:id "1" :state "succeeded")
                                                :vm (nixvm-fake-machine "demo" :backend "two")))
    (nixvm--ensure)
    (should (equal (mapcar #'car (nixvm--migration-targets (nixvm-machine "demo"))) '("two")))
    (should-not (nixvm--offered-p "migrate" (nixvm-machine "here")))
    ;; It runs: that is said, and asked for.
    (should (eq 'quit (condition-case nil
                          (nixvm-fake-typing '("demo" "two" nil) (call-interactively #'nixvm-migrate))
                        (quit 'quit))))
    (should-not (nixvm-fake-received-p "nixvm/vm/migrate"))
    (let ((said (nixvm-fake-messages
                  (nixvm-fake-typing '("demo" "two" t) (call-interactively #'nixvm-migrate))
                  (nixvm-fake-wait (null nixvm--works)))))
      (should (member "demo is on two" said)))
    (should (equal (plist-get (nixvm-fake-params "nixvm/vm/migrate") :backend) "two"))
    (nixvm-fake-answer "nixvm/backend/list" (list :backends [(:name "two" :type "libvirt" :default t)]))
    (let ((err (should-error (nixvm-fake-typing '("demo") (call-interactively #'nixvm-migrate))
                             :type 'user-error)))
      (should (string-match-p "no other backend that demo can move to" (cadr err))))))

(ert-deftest nixvm-autostart-is-switched-on-and-off ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo" :backend "one")
                         (nixvm-fake-machine "twin" :backend "one" :autostart t)
                         (nixvm-fake-machine "here" :actions (nixvm-fake-keys "autostart")))
    (setf (nixvm-fake-backends nixvm-fake) (nixvm-command-test-backends))
    (nixvm-fake-on "nixvm/machine/configure" (lambda (params &rest _) (list :machine params)))
    (nixvm-fake-typing '("demo") (call-interactively #'nixvm-autostart))
    (nixvm-fake-wait (eq t (plist-get (nixvm-fake-params "nixvm/machine/configure") :autostart)))
    (nixvm-fake-typing '("twin") (call-interactively #'nixvm-autostart))
    (nixvm-fake-wait (eq :json-false (plist-get (nixvm-fake-params "nixvm/machine/configure") :autostart)))
    (cl-letf (((symbol-function 'nixvm--list-targets) (lambda () '("here"))))
      (should-error (call-interactively #'nixvm-autostart) :type 'user-error))))

(ert-deftest nixvm-image-build-asks-for-profiles ()
  (nixvm-fake-with nil
    (setf (nixvm-fake-methods nixvm-fake) (cons "nixvm/image/build" nixvm-fake-methods))
    (nixvm-fake-answer "nixvm/image/build" '(:operation (:id "1" :state "succeeded" :image "abc")))
    (let ((said (nixvm-fake-messages
                  (nixvm-fake-typing '("claude") (call-interactively #'nixvm-image-build))
                  (nixvm-fake-wait (nixvm-fake-received-p "nixvm/image/build"))
                  (nixvm-fake-wait (null nixvm--works)))))
      (should (equal (plist-get (nixvm-fake-params "nixvm/image/build") :profiles) ["claude"]))
      (should (member "The image abc is ready" said)))))

(ert-deftest nixvm-image-gc-takes-former-disks-too ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (setf (nixvm-fake-methods nixvm-fake) (cons "nixvm/image/gc" nixvm-fake-methods))
    (nixvm-fake-on "nixvm/image/gc"
                   (lambda (params &rest _)
                     (append (list :images [])
                             (and (plist-get params :disks)
                                  '(:disks [(:machine "demo" :backend "laptop" :bytes 1073741824)])))))
    (let (asked)
      (cl-letf (((symbol-function 'yes-or-no-p) (lambda (text) (setq asked text) t)))
        (call-interactively #'nixvm-image-gc))
      (should (string-match-p "Remove the former disks of demo, 1 GiB" asked)))
    (nixvm-fake-wait (not (plist-get (nixvm-fake-params "nixvm/image/gc") :dryRun)))
    (should (eq t (plist-get (nixvm-fake-params "nixvm/image/gc") :disks)))))

(ert-deftest nixvm-image-gc-says-what-goes-before-it-does ()
  (nixvm-fake-with nil
    (setf (nixvm-fake-methods nixvm-fake) (cons "nixvm/image/gc" nixvm-fake-methods))
    (let ((images [(:id "a" :bytes 1073741824) (:id "b" :bytes 536870912 :kept "demo needs it")]) asked)
      (nixvm-fake-on "nixvm/image/gc" (lambda (&rest _) (list :images images)))
      (cl-letf (((symbol-function 'yes-or-no-p) (lambda (p) (setq asked p) nil)))
        (should (eq 'quit (condition-case nil (call-interactively #'nixvm-image-gc) (quit 'quit)))))
      (should (string-match-p "Remove 1 image, 1 GiB\\?" asked))
      (should (eq t (plist-get (nixvm-fake-params "nixvm/image/gc") :dryRun)))
      (let ((said (nixvm-fake-messages
                    (cl-letf (((symbol-function 'yes-or-no-p) (lambda (_) t)))
                      (let ((current-prefix-arg '(4))) (call-interactively #'nixvm-image-gc)))
                    (nixvm-fake-wait (not (plist-get (nixvm-fake-params "nixvm/image/gc") :dryRun)))
                    (nixvm--call "nixvm/profile/list" nil))))
        (should (eq t (plist-get (nixvm-fake-params "nixvm/image/gc") :all)))
        (should (member "Removed 1 image, 1 GiB" said)))
      (setq images [])
      (should-error (call-interactively #'nixvm-image-gc) :type 'user-error))))

(ert-deftest nixvm-images-shows-who-needs-them ()
  (nixvm-fake-with nil
    (setf (nixvm-fake-methods nixvm-fake) (cons "nixvm/image/list" nixvm-fake-methods))
    (nixvm-fake-answer "nixvm/image/list"
                       '(:images [(:id "abc" :distro "nixos" :mode "immutable" :profiles ["claude" "dev"]
                                   :bytes 2147483648 :built "2026-01-02T03:04:05Z" :machines ["demo"])
                                  (:id "def" :distro "debian" :mode "mutable" :profiles []
                                   :bytes 1048576 :machines [])]))
    (save-window-excursion
      (nixvm-images)
      (with-current-buffer "*nixvm images*"
        (nixvm-fake-wait (string-match-p "claude,dev +nixos +immutable +2 GiB +2026-01-02 ..:.. +demo"
                                         (buffer-string)))
        (should (string-match-p "no profiles +debian +mutable +1 MiB +none" (buffer-string)))
        (goto-char (point-min))
        (nixvm-images-copy-id)
        (should (equal (current-kill 0) "abc"))
        (kill-buffer)))))

(ert-deftest nixvm-command-that-is-not-offered-says-so ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (setf (nixvm-fake-verbs nixvm-fake) nil)
    (let ((err (should-error (call-interactively #'nixvm-suspend) :type 'user-error)))
      (should (string-match-p "no suspend" (cadr err))))))

(ert-deftest nixvm-command-that-the-backend-cannot-do-says-so ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (setf (nixvm-fake-backends nixvm-fake)
          (vector (list :name "laptop" :type "qemu" :default t :actions (nixvm-fake-keys "suspend"))))
    (nixvm--ensure)
    (cl-letf (((symbol-function 'nixvm--list-targets) (lambda () '("demo"))))
      (let ((err (should-error (call-interactively #'nixvm-suspend) :type 'user-error)))
        (should (string-match-p "backend laptop of demo cannot do that" (cadr err)))))))

(ert-deftest nixvm-doctor-shows-findings-with-their-fix ()
  (nixvm-fake-with nil
    (nixvm-fake-answer "nixvm/doctor"
                       '(:findings [(:area "qemu" :code "x" :severity "error" :message "no KVM"
                                     :fix "sudo modprobe kvm")]))
    (save-window-excursion
      (nixvm-doctor)
      (with-current-buffer "*nixvm doctor*"
        (nixvm-fake-wait (string-match-p "qemu: no KVM" (buffer-string)))
        (goto-char (point-min))
        (nixvm-doctor-copy-fix)
        (should (equal (current-kill 0) "sudo modprobe kvm"))))))

(ert-deftest nixvm-doctor-works-without-a-daemon ()
  (nixvm-fake-with nil
    (nixvm-fake-stop nixvm-fake)
    (save-window-excursion
      (let ((nixvm-program "echo"))
        (nixvm-doctor)
        (with-current-buffer "*nixvm doctor*"
          (nixvm-fake-wait (string-match-p "No nixvmd at.*\n\ndoctor" (buffer-string)))))
      (let ((nixvm-program "nixvmd-that-is-not-there"))
        (nixvm-doctor)
        (with-current-buffer "*nixvm doctor*"
          (nixvm-fake-wait (string-match-p "Cannot find the program" (buffer-string))))))))

(ert-deftest nixvm-log-shows-what-tools-say ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (setf (nixvm-fake-operations nixvm-fake) (list (nixvm-fake-operation "op1" "create" "demo")))
    (save-window-excursion
      (nixvm--ensure)
      (nixvm-log)
      (nixvm-fake-push nixvm-fake "window/logMessage"
                       '(:type 4 :message "building %s é" :operation "op1" :vertex "image"))
      (with-current-buffer "*nixvm log*"
        (nixvm-fake-wait (string-match-p "demo create image: building %s é" (buffer-string)))))))

(ert-deftest nixvm-console-talks-to-its-socket ()
  (nixvm-fake-with (list (nixvm-fake-machine "demo"))
    (let* ((socket (expand-file-name "c" (file-name-directory nixvm-socket)))
           (got "")
           (server (make-network-process
                    :name "console" :family 'local :service socket :server t :noquery t :coding 'binary
                    :filter (lambda (p text)
                              (setq got (concat got text))
                              (process-send-string p "\eAnSiTh evil\nlogin: ")))))
      (unwind-protect
          (save-window-excursion
            (nixvm-fake-answer "nixvm/vm/console" (list :socket socket))
            (nixvm-console "demo")
            (nixvm-fake-wait (get-buffer "*demo console*"))
            (with-current-buffer "*demo console*"
              (nixvm-fake-wait (string-match-p "login:" (buffer-string)))
              (should (equal got "\r"))
              (should-not (file-remote-p default-directory)))
            (kill-buffer "*demo console*"))
        (delete-process server)))))

(provide 'nixvm-command-test)
;;; nixvm-command-test.el ends here
