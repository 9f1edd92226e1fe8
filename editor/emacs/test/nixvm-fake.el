;;; nixvm-fake.el --- A scripted nixvmd inside Emacs  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Commentary:

;; A server on a unix socket that speaks the daemon's protocol and does what a
;; test tells it to: answer, refuse, keep silent, push, die.

;;; Code:

(require 'cl-lib)
(require 'nixvm)

(defconst nixvm-fake-methods
  '("nixvm/machine/list" "nixvm/machine/get" "nixvm/profile/list" "nixvm/vm/create" "nixvm/vm/start" "nixvm/vm/stop"
    "nixvm/vm/kill" "nixvm/vm/reboot" "nixvm/vm/suspend" "nixvm/vm/resume" "nixvm/vm/destroy"
    "nixvm/vm/purge" "nixvm/vm/console" "nixvm/snapshot/list" "nixvm/snapshot/create"
    "nixvm/snapshot/restore" "nixvm/snapshot/delete" "nixvm/forward/list" "nixvm/forward/add"
    "nixvm/forward/remove" "nixvm/attach" "nixvm/operation/cancel" "nixvm/operation/subscribe"
    "nixvm/doctor" "nixvm/vm/clone")
  "What a fake offers unless a test says otherwise.")

(defvar nixvm-fake--rules nil "What `nixvm-fake-rules' has read.")

(defun nixvm-fake-rules (key)
  "What the real daemon says: KEY is :verbs, :idle, :busy or :operations.
Its generator has written it."
  (unless nixvm-fake--rules
    (with-temp-buffer
      (insert-file-contents
       (expand-file-name "../../testdata/actions.json"
                         (file-name-directory (locate-library "nixvm-fake"))))
      (setq nixvm-fake--rules (json-parse-buffer :object-type 'plist))))
  (plist-get nixvm-fake--rules key))

(defun nixvm-fake-keys (&rest but)
  "The keys of all verbs, as a vector, without those of BUT."
  (vconcat (cl-remove-if (lambda (key) (member key but))
                         (mapcar (lambda (verb) (plist-get verb :key))
                                 (nixvm-fake-rules :verbs)))))

(defun nixvm-fake-actions (phase busy)
  "What can be done with a machine in PHASE, BUSY if an operation runs on it."
  (or (plist-get (nixvm-fake-rules (if busy :busy :idle)) (intern (concat ":" phase)))
      []))

(cl-defstruct (nixvm-fake (:constructor nixvm-fake--make))
  "A scripted daemon."
  file server clients
  (machines nil) (operations nil)
  (methods nixvm-fake-methods)
  (verbs (nixvm-fake-rules :verbs)) (revision 2)
  (backends (vector (list :name "laptop" :type "qemu" :default t
                          :actions (nixvm-fake-keys "migrate" "autostart")
                          :capabilities '(:bridge :json-false))))
  (handlers (make-hash-table :test #'equal))
  (received nil))

(defvar nixvm-fake nil "The daemon of the running test.")

(defun nixvm-fake-start (&optional file)
  "Start a fake that listens at FILE (default: a new one); return it."
  (let* ((file (or file (expand-file-name "s" (make-temp-file "nixvm" t))))
         (fake (nixvm-fake--make :file file)))
    (setf (nixvm-fake-server fake)
          (make-network-process
           :name "fake-nixvmd" :family 'local :service file :server t :noquery t
           :coding 'binary :filter #'nixvm-fake--filter
           :log (lambda (_server client _message)
                  (process-put client 'fake fake)
                  (process-put client 'pending "")
                  (set-process-query-on-exit-flag client nil)
                  (push client (nixvm-fake-clients fake)))))
    fake))

(defun nixvm-fake-stop (fake)
  "Kill FAKE: it closes all connections and leaves no socket."
  (mapc #'delete-process (nixvm-fake-clients fake))
  (delete-process (nixvm-fake-server fake))
  (ignore-errors (delete-file (nixvm-fake-file fake))))

(defun nixvm-fake--filter (client text)
  "Take TEXT from CLIENT and answer the requests in it."
  (process-put client 'pending (concat (process-get client 'pending) text))
  (let (message)
    (while (setq message (nixvm-fake--next client))
      (nixvm-fake--receive (process-get client 'fake) client message))))

(defun nixvm-fake--next (client)
  "Return the next whole message of CLIENT, or nil."
  (let ((pending (process-get client 'pending)))
    (when (string-match "\\`Content-Length: \\([0-9]+\\)\r\n\r\n" pending)
      (let ((from (match-end 0))
            (to (+ (match-end 0) (string-to-number (match-string 1 pending)))))
        (when (>= (length pending) to)
          (process-put client 'pending (substring pending to))
          (json-parse-string (decode-coding-string (substring pending from to) 'utf-8)
                             :object-type 'plist :null-object nil :false-object :json-false))))))

(defun nixvm-fake-send (client message)
  "Send the plist MESSAGE to CLIENT."
  (when (process-live-p client)
    (let ((body (encode-coding-string
                 (json-serialize (append '(:jsonrpc "2.0") message)
                                 :null-object nil :false-object :json-false)
                 'utf-8)))
      (process-send-string client (format "Content-Length: %d\r\n\r\n" (length body)))
      (process-send-string client body))))

(defun nixvm-fake-push (fake method params)
  "Send the notification METHOD with PARAMS to all clients of FAKE."
  (when (equal method "nixvm/didChange")
    (nixvm-fake--take-over fake (append (plist-get params :changed) nil)
                           (append (plist-get params :removed) nil)))
  (dolist (client (nixvm-fake-clients fake))
    (nixvm-fake-send client (list :method method :params params))))

(defun nixvm-fake--take-over (fake changed removed)
  "Let FAKE have the machines CHANGED, and none called one of REMOVED."
  (let ((gone (append removed (mapcar (lambda (m) (plist-get m :name)) changed))))
    (setf (nixvm-fake-machines fake)
          (append (cl-remove-if (lambda (m) (member (plist-get m :name) gone))
                                (nixvm-fake-machines fake))
                  changed))))

(defun nixvm-fake--receive (fake client message)
  "Let FAKE answer MESSAGE of CLIENT."
  (let ((method (plist-get message :method))
        (id (plist-get message :id))
        (params (plist-get message :params)))
    (push (cons method params) (nixvm-fake-received fake))
    (let* ((handler (or (gethash method (nixvm-fake-handlers fake))
                        (nixvm-fake--default fake method)))
           (result (and handler
                        (funcall handler params
                                 (lambda (answer) (nixvm-fake--answer client id answer))))))
      (cond ((null id))
            ((null handler)
             (nixvm-fake--answer client id `(:error -32601 ,(format "No method %s" method) nil)))
            ((eq result 'later))
            (t (nixvm-fake--answer client id result))))))

(defun nixvm-fake--answer (client id answer)
  "Send ANSWER to the request ID of CLIENT.
It is a result, or (:error CODE MESSAGE DATA)."
  (nixvm-fake-send client
                   (if (eq (car-safe answer) :error)
                       (pcase-let ((`(,code ,message ,data) (cdr answer)))
                         (list :id id :error (list :code code :message message :data data)))
                     (list :id id :result (or answer (make-hash-table))))))

(defun nixvm-fake--default (fake method)
  "The handler of FAKE for METHOD when the test has none."
  (pcase method
    ("initialize"
     (lambda (&rest _)
       `(:capabilities (:experimental (:nixvm (:protocolVersion 1
                                               ,@(when-let ((revision (nixvm-fake-revision fake)))
                                                   (list :revision revision))
                                               :verbs ,(vconcat (nixvm-fake-verbs fake))
                                               :methods ,(vconcat (nixvm-fake-methods fake))
                                               :backends ,(nixvm-fake-backends fake))))
         :serverInfo (:name "nixvmd" :version "9.9"))))
    ("nixvm/machine/list"
     (lambda (&rest _) (list :machines (vconcat (nixvm-fake-machines fake))
                             :operations (vconcat (nixvm-fake-operations fake)))))
    ("nixvm/machine/get"
     (lambda (params &rest _)
       (if-let ((machine (cl-find (plist-get params :name) (nixvm-fake-machines fake)
                                  :key (lambda (m) (plist-get m :name)) :test #'equal)))
           (list :machine machine)
         '(:error -32602 "no such machine" (:code "machine.not_found")))))
    ("nixvm/machine/check" (lambda (params &rest _) (nixvm-fake-check params)))
    ("nixvm/agent/list" (lambda (params &rest _) (list :agents (plist-get params :agents))))
    ("nixvm/agent/command"
     (lambda (params &rest _)
       (list :sshHost (plist-get params :name) :directory (plist-get params :directory)
             :session (plist-get params :agent)
             :line (format "cd '%s' && %s" (plist-get params :directory) (plist-get params :command)))))
    ("nixvm/profile/list"
     (lambda (&rest _)
       '(:profiles [(:name "claude" :description "Claude Code" :requires [] :agent t :images [])
                    (:name "dev" :description "développement" :requires [] :agent :json-false
                     :images [])])))
    ((or "initialized" "window/workDoneProgress/cancel") #'ignore)))

(defun nixvm-fake-check (params)
  "What the daemon says of a draft with PARAMS: sizes have numbers."
  (cl-flet ((size (text unit)
              (if (string-match "\\`\\([0-9]+\\)\\(?: ?\\([MGB]\\)\\(?:iB\\)?\\)?\\'" text)
                  (list :ok t :value text
                        :number (* (string-to-number (match-string 1 text))
                                   (pcase (match-string 2 text)
                                     ("G" (* 1024 (if (eq unit :memoryMiB) 1 1048576)))
                                     ("M" (if (eq unit :memoryMiB) 1 1048576))
                                     (_ 1))))
                (list :ok :json-false
                      :problem (list :code "size.invalid" :message (format "%S is no size" text)
                                     :hint "write 4G" :retryable :json-false)))))
    (list :ok t
          :suggestion (let ((text (or (plist-get params :suggest) "")))
                        (if (cl-find text (nixvm-fake-machines nixvm-fake) :test #'equal
                                     :key (lambda (m) (plist-get m :name)))
                            (concat text "-2")
                          text))
          :fields
          (cl-loop for (key value) on params by #'cddr
                   append (list key (if (memq key '(:memoryMiB :diskBytes :vcpus))
                                        (size value key)
                                      '(:ok t)))))))

(defun nixvm-fake-on (method handler)
  "Let the test's daemon answer METHOD with HANDLER.
HANDLER gets the params and a function that answers later; it returns a result,
an (:error CODE MESSAGE DATA), or the symbol `later'."
  (puthash method handler (nixvm-fake-handlers nixvm-fake)))

(defun nixvm-fake-answer (method answer)
  "Let the test's daemon answer METHOD with ANSWER."
  (nixvm-fake-on method (lambda (&rest _) answer)))

(defun nixvm-fake-received-p (method)
  "The params of the last request METHOD, in a list, or nil."
  (when-let ((r (assoc method (nixvm-fake-received nixvm-fake)))) (list (cdr r))))

(defun nixvm-fake-params (method)
  "The params of the last request METHOD."
  (car (nixvm-fake-received-p method)))

(defun nixvm-fake-machine (name &rest fields)
  "Return a running machine NAME with FIELDS changed."
  (let ((machine (list :name name :state "running" :ready t :mode "immutable"
                       :profiles ["claude" "dev"] :backend "laptop"
                       :image '(:kind "nixos" :distro "nixos")
                       :memoryMiB 4096 :vcpus 2 :diskBytes 21474836480 :network "nat"
                       :sshHost name :adminHost (concat name "-admin"))))
    (while fields
      (setq machine (plist-put machine (pop fields) (pop fields))))
    (nixvm-fake-whole machine)))

(defun nixvm-fake-whole (machine)
  "MACHINE with the phase and the actions that the daemon gives it."
  (let* ((state (plist-get machine :state))
         (phase (cond ((not (equal state "running")) state)
                      ((eq (plist-get machine :ready) t) "ready")
                      (t "booting"))))
    (unless (plist-member machine :phase) (setq machine (plist-put machine :phase phase)))
    (unless (plist-member machine :actions)
      (setq machine (plist-put machine :actions
                               (nixvm-fake-actions phase (plist-get machine :operation)))))
    machine))

(defun nixvm-fake-operation (id kind machine &rest fields)
  "Return a running operation ID of KIND on MACHINE with FIELDS changed."
  (let ((op (list :id id :kind kind :machine machine :state "running" :steps 3 :done 1
                  :started "2026-01-02T03:04:05Z")))
    (while fields (setq op (plist-put op (pop fields) (pop fields))))
    (when-let ((outcome (plist-get (nixvm-fake-rules :operations)
                                   (intern (concat ":" kind)))))
      (setq op (append op (list :disruptive t :outcome outcome))))
    op))

(defun nixvm-fake-change (&rest machines)
  "Push MACHINES as changed."
  (nixvm-fake-push nixvm-fake "nixvm/didChange" (list :changed (vconcat machines))))

(defun nixvm-fake-program (directory &optional before)
  "Write a program nixvmd into DIRECTORY, and return its file name.
It runs BEFORE, a line of a shell, and prints the paths below $NIXVM_HOME."
  (let ((program (expand-file-name "nixvmd" directory)))
    (write-region
     (concat "#!/bin/sh\n# Stands for nixvmd paths.\n" (or before "") "
printf '{\"socket\":\"%s/runtime/nixvmd.sock\",\"sshConfig\":\"%s/state/ssh/config\",' \"$NIXVM_HOME\" \"$NIXVM_HOME\"
printf '\"machines\":\"%s/data/machines\",\"log\":\"%s/log\"}\\n' \"$NIXVM_HOME\" \"$NIXVM_HOME\"
")
     nil program nil 'silent)
    (set-file-modes program #o755)
    program))

;;;; In a test

(defun nixvm-fake-reset ()
  "Bring the package back to where it was when it was loaded."
  (let ((nixvm-autoreconnect nil)) (nixvm-disconnect))
  (setq nixvm--connection nil nixvm--waiting nil nixvm--starting nil nixvm--connection-error nil
        nixvm--works nil nixvm--status nil nixvm--pending-events nil nixvm--last-error nil
        nixvm--create-last nil nixvm--create-attempt nil nixvm-tramp--declined nil)
  (when nixvm--refresh-timer (cancel-timer nixvm--refresh-timer))
  (setq nixvm--refresh-timer nil)
  (clrhash nixvm--machines)
  (clrhash nixvm--operations)
  (dolist (name '("*nixvm*" "*nixvm log*" "*nixvm doctor*"))
    (when (get-buffer name) (kill-buffer name))))

(defmacro nixvm-fake-with (machines &rest body)
  "Run BODY with a fake daemon that has MACHINES and a package as freshly loaded."
  (declare (indent 1) (debug t))
  `(let* ((nixvm-fake (nixvm-fake-start))
          (nixvm-socket (nixvm-fake-file nixvm-fake))
          (nixvm-start-daemon nil) (nixvm-create-file nil) (nixvm-autoreconnect nil)
          (nixvm-attach-after-create nil) (inhibit-message t))
     (nixvm-fake-reset)
     (setf (nixvm-fake-machines nixvm-fake) ,machines)
     (unwind-protect (progn ,@body)
       (nixvm-fake-reset)
       (nixvm-fake-stop nixvm-fake)
       (delete-directory (file-name-directory (nixvm-fake-file nixvm-fake)) t))))

(defmacro nixvm-fake-wait (form &optional seconds)
  "Wait until FORM is non-nil, at most SECONDS (default 10); return its value."
  `(nixvm-fake--wait (lambda () ,form) ',form ,(or seconds 10)))

(defun nixvm-fake--wait (predicate form seconds)
  "Wait until PREDICATE, written as FORM, holds; fail after SECONDS."
  (let ((limit (+ (float-time) seconds)) value)
    (while (not (setq value (funcall predicate)))
      (when (> (float-time) limit) (error "Waited in vain for %S" form))
      (accept-process-output nil 0.01))
    value))

(defmacro nixvm-fake-messages (&rest body)
  "Run BODY; return what it has shown in the echo area, as a list, last first."
  (declare (indent 0) (debug t))
  `(let (said)
     (cl-letf* ((real (symbol-function 'message))
                ((symbol-function 'message)
                 (lambda (format &rest args)
                   (when format (push (apply #'format-message format args) said))
                   (ignore real))))
       ,@body)
     said))

(defmacro nixvm-fake-typing (answers &rest body)
  "Run BODY with ANSWERS, strings or t and nil, given to its questions in order."
  (declare (indent 1) (debug t))
  `(let ((answers (copy-sequence ,answers)))
     (cl-letf (((symbol-function 'read-string)
                (lambda (_p &optional _i _h default &rest _)
                  (let ((a (pop answers))) (if (equal a "") (or default "") a))))
               ((symbol-function 'completing-read)
                (lambda (_p table &optional pred _r _i _h default &rest _)
                  (all-completions "" table pred)
                  (let ((a (pop answers))) (if (equal a "") (or default "") a))))
               ((symbol-function 'completing-read-multiple)
                (lambda (_p _t &optional _pred _r _i _h default &rest _)
                  (let ((a (pop answers)))
                    (split-string (if (equal a "") (or default "") a) "," t))))
               ((symbol-function 'y-or-n-p) (lambda (&rest _) (pop answers)))
               ((symbol-function 'yes-or-no-p) (lambda (&rest _) (pop answers))))
       ,@body)))

(provide 'nixvm-fake)
;;; nixvm-fake.el ends here
