;;; nixvm-rpc.el --- Talk to nixvmd  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; One connection to the daemon for the whole Emacs: JSON-RPC over its unix
;; socket.  A daemon that does not run is started.  A connection that is lost
;; is re-established, as long as it is needed.
;;
;; Two rules keep Emacs responsive.  Synchronous requests are made at the top
;; of an interactive command only (`nixvm--call').  Code that runs in a process
;; filter, a timer or a sentinel uses `nixvm--async' and never waits.

;;; Code:

(require 'cl-lib)
(require 'eieio)
(require 'jsonrpc)
(require 'subr-x)

(defgroup nixvm nil
  "Virtual machines for code agents."
  :group 'tools
  :prefix "nixvm-"
  :link '(url-link "https://github.com/nixvm/nixvm"))

(defcustom nixvm-program "nixvmd"
  "The nixvm daemon: a name in variable `exec-path', or an absolute file name."
  :type 'string)

(defcustom nixvm-socket nil
  "The socket of the daemon; nil means the default path of the daemon.
That is below $NIXVM_HOME, or else $XDG_RUNTIME_DIR."
  :type '(choice (const :tag "Default of nixvmd" nil) file))

(defcustom nixvm-start-daemon t
  "Whether to start the daemon if it is not running."
  :type 'boolean)

(defcustom nixvm-connect-timeout 10
  "Seconds to wait for the daemon to start and to answer."
  :type 'number)

(defcustom nixvm-request-timeout 30
  "Seconds to wait for an answer that a command cannot do without."
  :type 'number)

(defcustom nixvm-autoreconnect 3
  "Whether to connect again when the connection to the daemon is lost.
A number means: only if it was up for more than that many seconds, so that a
daemon that crashes immediately is not restarted endlessly."
  :type '(choice (const :tag "Never" nil) (const :tag "Always" t) number))

(defcustom nixvm-events-buffer-size 0
  "Characters of protocol log to keep in the buffer *nixvmd events*.
0 keeps none, which makes requests more than twice as fast; nil keeps all."
  :type '(choice (const :tag "No limit" nil) natnum))

(defvar nixvm-connected-hook nil
  "Normal hook run when the connection to the daemon is up.")

(defvar nixvm-disconnected-hook nil
  "Normal hook run when the connection to the daemon is lost.")

(defvar nixvm--log-operations t
  "Whether the daemon should send the output of the tools that it runs.")

(defclass nixvm--daemon (jsonrpc-process-connection)
  ((capabilities :initform nil :documentation "What the daemon offers.")
   (version :initform nil :documentation "Version of the daemon.")
   (ready :initform nil :documentation "Time when the session was up, or nil.")
   (leaving :initform nil :documentation "Non-nil when we end the connection."))
  :documentation "The connection to nixvmd.")

(defvar nixvm--connection nil "The connection to the daemon, or nil.")
(defvar nixvm--waiting nil "List of (THEN . FAIL), called when connected or not.")
(defvar nixvm--starting nil "Non-nil while a connection is being made.")
(defvar nixvm--attempts 0 "How often the present attempt has failed.")
(defvar nixvm--connection-error nil "Why the daemon cannot be reached, or nil.")

(defvar nixvm--notification-handlers nil
  "Alist of (METHOD . FUNCTION); FUNCTION gets the params and never waits.")

(defvar nixvm--wanted-functions nil
  "Functions that return non-nil if a connection is needed right now.")

;;;; Where things are

(defmacro nixvm--locally (&rest body)
  "Run BODY on this computer, independently of what the current buffer visits."
  (declare (indent 0) (debug t))
  `(let ((default-directory temporary-file-directory)) ,@body))

(defvar nixvm--paths nil
  "Alist of what `nixvmd paths' has printed, by `nixvm--paths-key'.")

(defun nixvm--paths-key ()
  "What the answer of `nixvmd paths' depends on."
  (cons nixvm-program
        (mapcar #'getenv '("NIXVM_HOME" "XDG_RUNTIME_DIR" "XDG_STATE_HOME" "XDG_DATA_HOME" "TMPDIR" "HOME"))))

(defun nixvm--read-paths (text)
  "Remember TEXT, which `nixvmd paths --json' has printed; return it as a plist.
Return nil if it is something else."
  (when-let ((paths (ignore-errors (json-parse-string text :object-type 'plist)))
             ((stringp (plist-get paths :socket))))
    (setf (alist-get (nixvm--paths-key) nixvm--paths nil nil #'equal) paths)
    paths))

(defun nixvm--paths ()
  "The places of nixvmd, a plist: :socket, :sshConfig, :machines, :log.
The program is asked once, which takes some milliseconds; it starts nothing.
Return nil without the program."
  (or (alist-get (nixvm--paths-key) nixvm--paths nil nil #'equal)
      (nixvm--locally
        (when-let ((program (executable-find nixvm-program)))
          (with-temp-buffer
            (when (eql 0 (call-process program nil '(t nil) nil "paths" "--json"))
              (nixvm--read-paths (buffer-string))))))))

(defun nixvm-socket-file ()
  "Return the file name of the daemon's socket, or nil without the program."
  (if nixvm-socket
      (expand-file-name nixvm-socket)
    (plist-get (nixvm--paths) :socket)))

(defun nixvm-ssh-config-file ()
  "Return the ssh configuration that the daemon writes: two hosts a machine.
Return nil without the program."
  (plist-get (nixvm--paths) :sshConfig))

(defun nixvm--buffer (name)
  "Return the buffer NAME; make it if need be.
A new buffer takes the directory of the current one.  If that lies in a machine
or on another computer it is the home instead: a command in a buffer of ours,
or the minor modes of one, must not connect to anywhere."
  (or (get-buffer name)
      (let ((default-directory (if (file-remote-p default-directory)
                                   (expand-file-name "~/")
                                 default-directory)))
        (get-buffer-create name))))

;;;; Errors

(defvar nixvm--last-error nil
  "The error plist behind the last `user-error' that the package signalled.")

(defun nixvm--error-of (object)
  "Return the error OBJECT of JSON-RPC as a plist of our own.
It has :code, a dotted word; :message; :hint, :retryable and :operation."
  (let ((data (plist-get object :data)))
    (list :code (or (plist-get data :code)
                    (if (eql (plist-get object :code) -1) "daemon.gone" "internal"))
          :message (if (eql (plist-get object :code) -1)
                       "nixvmd disconnected"
                     (or (plist-get object :message) "Unknown error"))
          :hint (plist-get data :hint)
          :retryable (eq (plist-get data :retryable) t)
          :operation (plist-get data :operation))))

(defun nixvm--hint (err)
  "The hint of the error plist ERR, with commands of ours for those of a shell."
  (let ((hint (plist-get err :hint)))
    (if (and hint (string-match-p "nixvmd operations \\(?:resume\\|undo\\|forget\\)" hint))
        (substitute-command-keys "\\[nixvm-resolve] shows the choices")
      hint)))

(defun nixvm--error-text (err &optional doing)
  "One line about the error plist ERR, which happened while DOING something."
  (let ((hint (nixvm--hint err)))
    (concat (and doing (concat doing ": "))
            (plist-get err :message)
            (and hint (not (string-empty-p hint)) (format ".  Hint: %s" hint)))))

(defun nixvm--signal (err &optional doing)
  "Signal the error plist ERR, which happened while DOING something."
  (setq nixvm--last-error err)
  (user-error "%s" (nixvm--error-text err doing)))

(defun nixvm--show-error (err &optional doing)
  "Tell the user about the error plist ERR, which happened while DOING something."
  (message "%s: %s" (propertize (or doing "nixvm") 'face 'error) (nixvm--error-text err)))

(defun nixvm--problem (code message &optional hint)
  "Return an error plist with CODE, MESSAGE and HINT."
  (list :code code :message message :hint hint))

;;;; Connecting

(defun nixvm--live ()
  "Return the connection if the session is up, or nil."
  (and nixvm--connection
       (jsonrpc-running-p nixvm--connection)
       (oref nixvm--connection ready)
       nixvm--connection))

(defun nixvm--known-socket ()
  "The daemon's socket if it can be told without asking the program, or nil."
  (if nixvm-socket
      (expand-file-name nixvm-socket)
    (plist-get (alist-get (nixvm--paths-key) nixvm--paths nil nil #'equal) :socket)))

(defun nixvm--open-socket ()
  "Return a process connected to the daemon, or an error plist."
  (let ((file (nixvm--known-socket)))
    (condition-case err
        (nixvm--locally
          ;; utf-8-emacs-unix and nothing else: it alone keeps the CR of the
          ;; header lines and is right in every locale.
          (make-network-process :name "nixvmd" :family 'local :service file
                                :coding 'utf-8-emacs-unix :noquery t))
      (file-missing
       (nixvm--problem "daemon.unreachable" (format "No nixvmd at %s" file)
                       (substitute-command-keys "start nixvmd, or \\[nixvm-doctor]")))
      (error
       (nixvm--problem "daemon.unreachable"
                       (format "Cannot reach nixvmd at %s: %s" file (error-message-string err))
                       (substitute-command-keys "\\[nixvm-doctor] shows the problem"))))))

(defun nixvm--connect (then &optional fail)
  "Connect unless connected, and call THEN without arguments.
If there is no daemon and none can be started, call FAIL with an error plist.
Never wait."
  (cond
   ((nixvm--live) (funcall then))
   (t
    (push (cons then (or fail #'ignore)) nixvm--waiting)
    (unless nixvm--starting
      (setq nixvm--starting t
            nixvm--attempts 0)
      (nixvm--attempt)))))

(defun nixvm--attempt ()
  "Connect to the daemon; ask the program where it is, or to start it, if need be."
  (let ((process (and (nixvm--known-socket) (nixvm--open-socket))))
    (cond ((processp process) (nixvm--begin-session process))
          ((or (null process) nixvm-start-daemon) (nixvm--ask-program))
          (t (nixvm--connect-failed process)))))

(defun nixvm--begin-session (process)
  "Begin a session over PROCESS, whose daemon may be gone already."
  (condition-case err
      (nixvm--handshake process)
    (error (nixvm--refused nixvm--connection
                           (list :code -1 :message (error-message-string err))))))

(defun nixvm--refused (conn object)
  "Give up connecting over CONN because of the error OBJECT, or try again.
A daemon that dies or restarts closes its connections before its socket: who
connects in between is disconnected, or cannot even send."
  ;; One lost connection fails every pending request, and every new one.
  (when (and nixvm--starting (eq conn nixvm--connection))
    (setq nixvm--attempts (1+ nixvm--attempts))
    (if (and (eql (plist-get object :code) -1) (< nixvm--attempts 4))
        (progn (nixvm--let-go)
               (run-at-time (* 0.2 nixvm--attempts) nil #'nixvm--attempt))
      (nixvm--connect-failed (nixvm--error-of object)))))

(defun nixvm--let-go ()
  "Forget the connection, and end it without a message."
  (when-let ((conn nixvm--connection))
    (setq nixvm--connection nil)
    (oset conn leaving t)
    (ignore-errors (delete-process (jsonrpc--process conn)))))

(defun nixvm--settle (err)
  "Call all functions that wait for a connection; ERR is nil or why there is none."
  (let ((waiting (nreverse nixvm--waiting)))
    (setq nixvm--waiting nil
          nixvm--starting nil
          nixvm--connection-error err)
    (run-hooks (if err 'nixvm-disconnected-hook 'nixvm-connected-hook))
    (dolist (w waiting)
      (with-demoted-errors "nixvm: %S"
        (if err (funcall (cdr w) err) (funcall (car w)))))))

(defun nixvm--connect-failed (err)
  "Give up connecting because of ERR."
  (nixvm--let-go)
  (nixvm--settle err))

(defun nixvm--ask-program ()
  "Ask the program where the daemon is, then connect.
The daemon is started first if none runs and `nixvm-start-daemon' is non-nil.
It outlives the program."
  (nixvm--locally
    (let ((program (executable-find nixvm-program)))
      (if (not program)
          (nixvm--connect-failed
           (nixvm--problem "daemon.unreachable"
                           (format "There is no connection to nixvmd, and no program %s" nixvm-program)
                           "install nixvmd, or set `nixvm-program'"))
        (let* ((buffer (generate-new-buffer " *nixvmd start*"))
               (errors (generate-new-buffer " *nixvmd start errors*"))
               (process (make-process
                         :name "nixvmd-start" :buffer buffer :stderr errors :noquery t
                         :connection-type 'pipe
                         :command (append (list program "paths" "--json")
                                          (and nixvm-start-daemon '("--start")))
                         :sentinel #'nixvm--program-said)))
          (when-let ((pipe (get-buffer-process errors)))
            (set-process-query-on-exit-flag pipe nil)
            (set-process-sentinel pipe #'ignore))
          (process-put process 'errors errors)
          (process-put process 'timer
                       (run-at-time nixvm-connect-timeout nil
                                    (lambda () (ignore-errors (delete-process process))))))))))

(defun nixvm--program-said (process _event)
  "Connect to the daemon whose socket PROCESS, the program, has printed."
  (unless (process-live-p process)
    (cancel-timer (process-get process 'timer))
    (let* ((errors (process-get process 'errors))
           (printed (nixvm--take-text (process-buffer process)))
           (said (progn
                   (when-let ((pipe (and (buffer-live-p errors) (get-buffer-process errors))))
                     (accept-process-output pipe 0.1))
                   (nixvm--take-text errors)))
           (paths (and (zerop (process-exit-status process)) (nixvm--read-paths printed)))
           (socket (and paths (nixvm--open-socket))))
      (cond ((processp socket) (nixvm--begin-session socket))
            (socket (nixvm--connect-failed socket))
            ((string-match-p "no verb \\\\?\"paths" said)
             (nixvm--connect-failed (nixvm--older (format "The program %s" nixvm-program))))
            (t (nixvm--connect-failed
                (nixvm--problem "daemon.unreachable"
                                (format "nixvmd does not start: %s" (nixvm--reason said))
                                (substitute-command-keys "\\[nixvm-doctor] shows the problem"))))))))

(defun nixvm--take-text (buffer)
  "The text of BUFFER, which is killed."
  (if (not (buffer-live-p buffer))
      ""
    (prog1 (with-current-buffer buffer (string-trim (buffer-string)))
      (let (kill-buffer-query-functions) (kill-buffer buffer)))))

(defun nixvm--reason (said)
  "The reason in what the program SAID: its error in JSON, or its last line."
  (let ((last (car (last (split-string said "\n" t)))))
    (cond ((null last) "it printed nothing")
          ((plist-get (plist-get (ignore-errors (json-parse-string last :object-type 'plist)) :error)
                      :message))
          (t (string-remove-prefix "nixvmd: " last)))))

(defun nixvm--older (what)
  "The error plist of WHAT, which lacks features that this package requires."
  (nixvm--problem "session.protocol_unsupported" (format "%s is older than this package" what)
                  "update nixvmd, and stop the running one with nixvmd shutdown; VMs keep running"))

;;;; Reading

(defun nixvm--read-messages (process string)
  "Add STRING to what PROCESS has sent, and take the whole messages out of that."
  (with-current-buffer (process-buffer process)
    (let ((inhibit-read-only t) messages end)
      (goto-char (point-max))
      (insert string)
      (goto-char (point-min))
      (while (and (looking-at "Content-Length: \\([0-9]+\\)\r\n\\(?:.+\r\n\\)*\r\n")
                  (setq end (byte-to-position (+ (position-bytes (match-end 0))
                                                 (string-to-number (match-string 1))))))
        (goto-char (match-end 0))
        (when-let ((message (with-demoted-errors "nixvmd sent no message: %S"
                              (json-parse-buffer :object-type 'plist :null-object nil
                                                 :false-object :json-false))))
          (push message messages))
        (goto-char end))
      (delete-region (point-min) (point))
      (nreverse messages))))

(defun nixvm--reader (conn)
  "Return a process filter that gives CONN its messages, one after the other.
That of jsonrpc.el makes a buffer for each of them, and from Emacs 30 on a
timer: half of the time that a short request took."
  (let (queue busy)
    (lambda (process string)
      (setq queue (nconc queue (nixvm--read-messages process string)))
      ;; A handler that sends something may let more come in.
      (unless busy
        (setq busy t)
        (unwind-protect
            (while queue (jsonrpc-connection-receive conn (pop queue)))
          (setq busy nil))))))

(defun nixvm--events-arguments ()
  "Arguments of a connection for `nixvm-events-buffer-size'.
The jsonrpc.el of Emacs 30 warns of the old one."
  (if (slot-exists-p 'nixvm--daemon '-events-buffer-config)
      (list :events-buffer-config (list :size nixvm-events-buffer-size :format 'full))
    (list :events-buffer-scrollback-size nixvm-events-buffer-size)))

(defun nixvm--make-connection (process)
  "Return a connection over PROCESS."
  (let ((conn (nixvm--locally ; of which its buffers take their directory
                (apply #'make-instance 'nixvm--daemon
                       :name "nixvmd" :process (lambda () process)
                       :notification-dispatcher #'nixvm--notified
                       :request-dispatcher #'ignore
                       :on-shutdown #'nixvm--lost
                       (nixvm--events-arguments)))))
    (when (eql nixvm-events-buffer-size 0) ; only its own filter logs all
      (set-process-filter process (nixvm--reader conn)))
    conn))

(defun nixvm--ask-first (conn method params then)
  "Make the request METHOD with PARAMS over CONN, which is new.
Call THEN with the result; if there is none, the connection is not to be."
  (jsonrpc-async-request
   conn method params
   :timeout nixvm-connect-timeout
   :timeout-fn (lambda () (nixvm--refused conn '(:message "nixvmd does not answer")))
   :error-fn (lambda (object) (nixvm--refused conn object))
   :success-fn (lambda (result)
                 (condition-case err
                     (funcall then result)
                   (error (nixvm--refused conn (list :code -1
                                                     :message (error-message-string err))))))))

(defconst nixvm--needed-revision 2
  "The revision of the protocol that the package builds on.
From it on the daemon says what can be done, so that nothing is guessed here.")

(defun nixvm--handshake (process)
  "Begin a session over PROCESS; signal an error if that cannot even be sent."
  (let ((conn (setq nixvm--connection (nixvm--make-connection process))))
    (nixvm--ask-first
     conn :initialize
     (list :processId (emacs-pid)
           :clientInfo (list :name "Emacs" :version emacs-version)
           :capabilities (make-hash-table)
           :initializationOptions
           (list :protocolVersions [1]
                 :operationLog (if nixvm--log-operations t :json-false)))
     (lambda (result)
       (oset conn version (plist-get (plist-get result :serverInfo) :version))
       (oset conn capabilities
             (thread-first result (plist-get :capabilities)
                           (plist-get :experimental) (plist-get :nixvm)))
       (if (< (or (plist-get (oref conn capabilities) :revision) 1) nixvm--needed-revision)
           (nixvm--connect-failed (nixvm--older "The running nixvmd"))
         (jsonrpc-notify conn :initialized (make-hash-table))
         (nixvm--ask-first
          conn 'nixvm/machine/list nil
          (lambda (list)
            (oset conn ready (float-time))
            (nixvm--notified conn 'nixvm/didChange (append '(:full t) list))
            (nixvm--settle nil))))))))

(defun nixvm--notified (_conn method params)
  "Dispatch the notification METHOD with PARAMS.
Runs in a process filter, where an error would be lost or worse."
  (with-demoted-errors "nixvm: %S"
    (when-let ((handler (alist-get method nixvm--notification-handlers)))
      (funcall handler params))))

(defun nixvm--lost (conn)
  "Take note that CONN is gone, and connect again if it is needed."
  (when (eq conn nixvm--connection)
    (cond
     (nixvm--starting
      (nixvm--refused conn '(:code -1 :message "nixvmd ended the connection")))
     (t
      (setq nixvm--connection nil)
      (setq nixvm--connection-error
            (nixvm--problem "daemon.gone" "The connection to nixvmd was lost"))
      (run-hooks 'nixvm-disconnected-hook)
      (when (and (not (oref conn leaving))
                 (run-hook-with-args-until-success 'nixvm--wanted-functions)
                 (pcase nixvm-autoreconnect
                   ((pred numberp)
                    (> (- (float-time) (oref conn ready)) nixvm-autoreconnect))
                   (other other)))
        (run-at-time 0 nil #'nixvm--connect #'ignore
                     (lambda (err) (nixvm--show-error err "nixvm"))))))))

;;;###autoload
(defun nixvm-disconnect ()
  "End the connection to nixvmd.
The daemon, its machines and its operations continue."
  (interactive)
  ;; Not `jsonrpc-shutdown', which warns of sentinels that have yet to run.
  (when-let* ((conn nixvm--connection)
              (process (jsonrpc--process conn)))
    (oset conn leaving t)
    (let ((inhibit-message t) (message-log-max nil))
      (delete-process process)
      (nixvm--lost conn))
    (dolist (buffer (list (process-buffer process) (process-get process 'jsonrpc-stderr)))
      (when (buffer-live-p buffer) (kill-buffer buffer)))))

;;;; Requests

(defun nixvm--wait-until (predicate seconds)
  "Wait until PREDICATE is non-nil, at most SECONDS; return its value.
Only for the top of an interactive command.  \\[keyboard-quit] ends it."
  (let ((limit (+ (float-time) seconds)) value)
    (while (and (not (setq value (funcall predicate)))
                (< (float-time) limit))
      (accept-process-output nil 0.05))
    value))

(defun nixvm--ensure ()
  "Return the connection; connect and wait for that if there is none.
Only for the top of an interactive command."
  (or (nixvm--live)
      (let (done problem)
        (nixvm--connect (lambda () (setq done t))
                        (lambda (err) (setq done t problem err)))
        (nixvm--wait-until (lambda () done) (* 2 nixvm-connect-timeout))
        (cond (problem (nixvm--signal problem))
              ((nixvm--live))
              (t (nixvm--signal (nixvm--problem "daemon.unreachable"
                                                "nixvmd does not answer")))))))

(defun nixvm--call (method params)
  "Make the request METHOD (a string) with PARAMS, and wait for its result.
Only for the top of an interactive command, and for what the daemon answers at
once.  An error is signalled as `user-error', with its hint."
  (let* ((conn (nixvm--ensure))
         (process (jsonrpc--process conn))
         (limit (+ (float-time) nixvm-request-timeout))
         answered result problem)
    (jsonrpc-async-request
     conn (intern method) params
     :timeout nil
     :success-fn (lambda (value) (setq answered t result value))
     :error-fn (lambda (object) (setq answered t problem (nixvm--error-of object))))
    ;; Waiting for this process alone returns with its answer.  `jsonrpc-request'
    ;; waits for all of them, and makes and cancels a timer each time.
    (while (not (or answered problem))
      (let ((left (- limit (float-time))))
        (if (and (> left 0) (process-live-p process))
            (accept-process-output process left)
          (setq problem (nixvm--problem "daemon.unreachable" "nixvmd does not answer")))))
    (if problem (nixvm--signal problem) result)))

(defun nixvm--async (method params then &optional fail)
  "Make the request METHOD (a string) with PARAMS; call THEN with the result.
If it fails call FAIL with an error plist; without FAIL the user is told.
Never wait, and never time out: operations take as long as they take."
  (let ((fail (or fail #'nixvm--show-error)))
    (nixvm--connect
     (lambda ()
       (condition-case err
           (jsonrpc-async-request
            nixvm--connection (intern method) params
            :timeout nil
            :success-fn (lambda (result)
                          (with-demoted-errors "nixvm: %S" (funcall then result)))
            :error-fn (lambda (object)
                        (with-demoted-errors "nixvm: %S"
                          (funcall fail (nixvm--error-of object)))))
         (error (funcall fail (nixvm--problem "daemon.gone" (error-message-string err))))))
     fail)))

;;;; What the daemon offers

(defun nixvm--methods ()
  "The methods that the daemon answers, as strings; nil while not connected."
  (when-let ((conn (nixvm--live)))
    (append (plist-get (oref conn capabilities) :methods) nil)))

(defun nixvm--verbs ()
  "What can be done with machines, as plists; nil while not connected."
  (when-let ((conn (nixvm--live)))
    (append (plist-get (oref conn capabilities) :verbs) nil)))

(defun nixvm--backends ()
  "The configured backends, as plists; nil while not connected."
  (when-let ((conn (nixvm--live)))
    (append (plist-get (oref conn capabilities) :backends) nil)))

(defun nixvm--backend (name)
  "The backend NAME as a plist; the default one if NAME is nil or empty."
  (cl-find-if (lambda (b)
                (if (member name '(nil ""))
                    (eq (plist-get b :default) t)
                  (equal (plist-get b :name) name)))
              (nixvm--backends)))

(provide 'nixvm-rpc)
;;; nixvm-rpc.el ends here
