;;; nixvm-resolve.el --- Operations that could not be undone  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; An operation that failed, and whose undo failed too, does nothing by itself:
;; it waits until the user decides whether to resume it, undo it after all, or
;; be forgotten.  The daemon says which of the three there are, and what each
;; would do.

;;; Code:

(require 'nixvm-operation)

(defun nixvm--choice (op action)
  "The choice ACTION of the unresolved operation OP, or nil."
  (cl-find action (append (plist-get op :choices) nil)
           :key (lambda (c) (plist-get c :action)) :test #'equal))

(defun nixvm--unresolved-title (op)
  "The unresolved operation OP, in some words."
  (format "%s %s" (plist-get op :kind) (plist-get op :machine)))

(defun nixvm--read-unresolved (&optional action)
  "Return an unresolved operation, asking which if that is not clear.
It has the choice ACTION unless that is nil."
  (nixvm--ensure)
  (nixvm--need-method "nixvm/operation/resolve")
  (let* ((here (or (nixvm--name-at-point) (plist-get (nixvm-current-machine) :name)))
         (able (cl-remove-if-not (lambda (op) (or (null action) (nixvm--choice op action)))
                                 (or (and here (nixvm--unresolved here)) (nixvm--unresolved))))
         (names (mapcar (lambda (op) (cons (nixvm--unresolved-title op) op)) able))
         (completion-extra-properties
          (list :annotation-function
                (lambda (name) (concat "  " (nixvm--unresolved-text (cdr (assoc name names))))))))
    (cond ((null able)
           (user-error (if action (format "No operation has the choice to %s" action)
                         "No operation is unresolved")))
          ((null (cdr able)) (car able))
          (t (cdr (assoc (completing-read "Which operation: " names nil t nil nil (caar names))
                         names))))))

(defun nixvm--read-choice (op)
  "Ask which choice to make of the unresolved operation OP; return its action."
  (let* ((choices (append (plist-get op :choices) nil))
         (actions (mapcar (lambda (c) (plist-get c :action)) choices))
         (completion-extra-properties
          (list :annotation-function
                (lambda (action)
                  (concat "  " (plist-get (nixvm--choice op action) :effect))))))
    (completing-read (format "%s (%s): " (nixvm--unresolved-text op) (string-join actions ", "))
                     actions nil t)))

(defun nixvm--resolve (op action)
  "Make the choice ACTION of the unresolved operation OP, after a question."
  (let* ((choice (or (nixvm--choice op action)
                     (user-error "%s cannot be resolved with %s" (nixvm--unresolved-title op) action)))
         (machine (plist-get op :machine))
         (effect (plist-get choice :effect))
         (confirm (nixvm--true (plist-get choice :confirm))))
    (cond (confirm (nixvm--confirm-by-name machine effect))
          ((not (y-or-n-p (format "%s: %s.  Continue? " (capitalize action) effect)))
           (keyboard-quit)))
    (nixvm--begin "nixvm/operation/resolve"
                  (append (list :id (plist-get op :id) :action action)
                          (and confirm (list :confirm machine)))
                  (format "%s of %s" (capitalize action) (nixvm--unresolved-title op))
                  (lambda (result)
                    (when-let ((ended (plist-get result :operation)))
                      (when (equal (plist-get ended :id) (plist-get op :id))
                        (nixvm--put-operation ended)
                        (nixvm--refresh-soon)))))))

;;;###autoload
(defun nixvm-resolve (id action)
  "Resolve the operation ID, which could not be undone.
ACTION is \"resume\", \"undo\" or \"forget\"; the daemon offers those that it
can do.  Interactively it is an operation of the machine at point or of the
current buffer, if there is one."
  (interactive
   (let ((op (nixvm--read-unresolved)))
     (list (plist-get op :id) (nixvm--read-choice op))))
  (nixvm--resolve (or (gethash id nixvm--operations) (user-error "There is no operation %s" id))
                  action))

;;;###autoload
(defun nixvm-resolve-resume ()
  "Resume an unresolved operation from the step that failed."
  (interactive)
  (nixvm--resolve (nixvm--read-unresolved "resume") "resume"))

;;;###autoload
(defun nixvm-resolve-undo ()
  "Undo an unresolved operation after all."
  (interactive)
  (nixvm--resolve (nixvm--read-unresolved "undo") "undo"))

;;;###autoload
(defun nixvm-resolve-forget ()
  "Forget an unresolved operation, and leave everything as it is."
  (interactive)
  (nixvm--resolve (nixvm--read-unresolved "forget") "forget"))

(provide 'nixvm-resolve)
;;; nixvm-resolve.el ends here
