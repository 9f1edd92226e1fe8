;;; nixvm-operation.el --- Long requests: progress and cancelling  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; Every change of a machine is an operation of the daemon.  It continues when
;; Emacs goes away; here its progress is shown in the echo area, it can be
;; cancelled, and it is followed again when the connection was lost meanwhile.

;;; Code:

(require 'nixvm-state)

(defcustom nixvm-report-progress t
  "Where to show the progress of operations.
t means the echo area; `messages' also the buffer *Messages*; nil only the list
of machines."
  :type '(choice (const :tag "Echo area" t)
                 (const :tag "Echo area and *Messages*" messages)
                 (const :tag "List of machines only" nil))
  :group 'nixvm)

(cl-defstruct (nixvm--work (:constructor nixvm--make-work))
  "An operation that this Emacs has asked for."
  token machine title id cancellable message percentage then fail shown)

(defvar nixvm--works nil "The `nixvm--work' objects that have not ended, newest first.")
(defvar nixvm--token 0 "Number of the last progress token.")

;;;; Begin and end

(defun nixvm--begin (method params title then &optional fail)
  "Begin the operation METHOD with PARAMS; TITLE is what it does, for people.
Call THEN with the daemon's answer when it has succeeded.  When it fails, tell
the user and call FAIL, if non-nil, with the error plist.  Never wait."
  (let* ((token (format "emacs-%d-%d" (emacs-pid) (cl-incf nixvm--token)))
         (work (nixvm--make-work :token token :machine (plist-get params :name)
                                 :title title :then then :fail fail)))
    (push work nixvm--works)
    (nixvm--async method (append params (list :workDoneToken token))
                  (lambda (result) (nixvm--work-succeeded work result))
                  (lambda (err) (nixvm--work-failed work err)))
    (nixvm--cancel-on-quit work)
    work))

(defun nixvm--work-succeeded (work result)
  "End WORK, which succeeded with RESULT."
  (setq nixvm--works (delq work nixvm--works))
  (let ((warnings (append (plist-get (plist-get result :operation) :warnings) nil))
        (vm (plist-get result :vm)))
    (when vm (nixvm--put-machine vm))
    (message "%s...done%s" (nixvm--work-title work)
             (if warnings (concat ".  Warning: " (string-join warnings "; ")) ""))
    (when (nixvm--work-then work)
      (funcall (nixvm--work-then work) result))))

(defun nixvm--work-failed (work err)
  "End WORK, which failed with ERR, unless only the connection was lost."
  (if (and (equal (plist-get err :code) "daemon.gone") (nixvm--work-id work))
      (message "%s: the connection to nixvmd was lost; the operation continues"
               (nixvm--work-title work))
    (setq nixvm--works (delq work nixvm--works))
    (nixvm--show-error
     (pcase (plist-get err :code)
       ("daemon.gone"
        (append '(:hint "it may have begun: check the list of machines") err))
       (_ err))
     (nixvm--work-title work))
    (when (nixvm--work-fail work)
      (funcall (nixvm--work-fail work) err))))

(defun nixvm--follow-again ()
  "Follow the operations whose connection was lost."
  (dolist (work nixvm--works)
    (when (nixvm--work-id work)
      (nixvm--async "nixvm/operation/subscribe"
                    (list :id (nixvm--work-id work) :workDoneToken (nixvm--work-token work))
                    (lambda (result) (nixvm--work-succeeded work result))
                    (lambda (err) (nixvm--work-failed work err))))))

(add-hook 'nixvm-connected-hook #'nixvm--follow-again)
(add-hook 'nixvm--wanted-functions (lambda () nixvm--works))

(defun nixvm--start-method (machine)
  "The method to start MACHINE, which may be suspended."
  (if (nixvm--can-p "resume" machine) "nixvm/vm/resume" "nixvm/vm/start"))

;;;; Confirm

(defun nixvm--confirm-by-name (name consequence)
  "Make the user type NAME, after telling the CONSEQUENCE."
  (let ((typed (read-string (format "%s  Type %s to confirm: " consequence
                                    (propertize name 'face 'bold)))))
    (unless (equal (string-trim typed) name)
      (user-error "That does not match %s; nothing was changed" name))))

;;;; Progress

(defun nixvm--progress (params)
  "Take over the progress in PARAMS."
  (let* ((value (plist-get params :value))
         (token (plist-get params :token))
         (work (cl-find token nixvm--works :key #'nixvm--work-token :test #'equal)))
    (when work
      (when-let ((id (plist-get value :operation)))
        (setf (nixvm--work-id work) id))
      (when (plist-get value :cancellable)
        (setf (nixvm--work-cancellable work)
              (nixvm--true (plist-get value :cancellable))))
      (when-let ((message (plist-get value :message)))
        (setf (nixvm--work-message work) message))
      (when-let ((percentage (plist-get value :percentage)))
        (setf (nixvm--work-percentage work) percentage))
      (unless (equal (plist-get value :kind) "end")
        (nixvm--echo work)))))

(defun nixvm--echo (work)
  "Show how far WORK is, unless the echo area is in use."
  (let ((now (float-time)))
    (when (and nixvm-report-progress
               (not (active-minibuffer-window))
               (not cursor-in-echo-area)
               (> (- now (or (nixvm--work-shown work) 0)) 0.1))
      (setf (nixvm--work-shown work) now)
      (let ((message-log-max (and (eq nixvm-report-progress 'messages) message-log-max))
            (others (1- (length nixvm--works))))
        (message "%s...%s%s" (nixvm--work-title work)
                 (string-join
                  (delq nil (list (when-let ((p (nixvm--work-percentage work))) (format "%d%%" p))
                                  (nixvm--work-message work)))
                  " ")
                 (if (> others 0) (format "  (and %d more)" others) ""))))))

(setf (alist-get '$/progress nixvm--notification-handlers) #'nixvm--progress)

(defun nixvm--show-message (params)
  "Show the message of the daemon in PARAMS."
  (message "nixvm: %s" (plist-get params :message)))

(setf (alist-get 'window/showMessage nixvm--notification-handlers) #'nixvm--show-message)

;;;; Cancel

(defun nixvm--cancel-work (work)
  "Ask the daemon to cancel WORK."
  (if (nixvm--live)
      (progn
        (jsonrpc-notify nixvm--connection 'window/workDoneProgress/cancel
                        (list :token (nixvm--work-token work)))
        (message "%s...cancelling" (nixvm--work-title work)))
    (user-error "There is no connection to nixvmd; the operation continues")))

(defun nixvm--cancel-on-quit (work)
  "Let \\[keyboard-quit] cancel WORK if it is the very next key.
With any other key the operation continues in the background."
  (when (and this-command (not noninteractive))
    (let ((map (make-sparse-keymap)))
      (define-key map (kbd "C-g")
        (lambda ()
          (interactive)
          (if (memq work nixvm--works) (nixvm--cancel-work work) (keyboard-quit))))
      (set-transient-map map))))

;;;###autoload
(defun nixvm-cancel (id)
  "Cancel the operation ID.
Interactively, that of the machine at point or of the current buffer; if there
is none, ask which.  Its completed steps are undone where possible."
  (interactive (list (nixvm--read-operation)))
  (nixvm--async "nixvm/operation/cancel" (list :id id)
                (lambda (result)
                  (let ((op (plist-get result :operation)))
                    (message "%s %s...cancelling" (plist-get op :kind) (plist-get op :machine))))
                (lambda (err) (nixvm--show-error err "Cancel"))))

(defun nixvm--read-operation ()
  "Return the id of a running operation, asking which if that is not clear."
  (nixvm--ensure)
  (let* ((here (or (nixvm-machine (nixvm--name-at-point)) (nixvm-current-machine)))
         (op (and here (nixvm--operation-of here)))
         (running (cl-remove-if-not
                   (lambda (o) (equal (plist-get o :state) "running"))
                   (hash-table-values nixvm--operations)))
         (names (mapcar (lambda (o) (cons (format "%s %s" (plist-get o :kind)
                                                  (plist-get o :machine))
                                          (plist-get o :id)))
                        running)))
    (cond (op (if (y-or-n-p (format "Cancel %s of %s? " (plist-get op :kind)
                                    (plist-get op :machine)))
                  (plist-get op :id)
                (keyboard-quit)))
          ((null names) (user-error "No operation is running"))
          (here (user-error "No operation is running on %s" (plist-get here :name)))
          (t (cdr (assoc (completing-read "Cancel: " names nil t) names))))))

(defun nixvm--name-at-point ()
  "The machine of the row that point is on in a list of machines, or nil."
  (and (derived-mode-p 'nixvm-list-mode) (tabulated-list-get-id)))

(provide 'nixvm-operation)
;;; nixvm-operation.el ends here
