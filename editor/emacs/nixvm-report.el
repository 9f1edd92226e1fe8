;;; nixvm-report.el --- Doctor, log and console  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; What to look at when something is wrong: the findings of the doctor, with
;; the command that mends each; the output of the tools that operations run;
;; and the serial console of a machine.

;;; Code:

(require 'nixvm-operation)

(declare-function term-mode "term" ())
(declare-function term-char-mode "term" ())
(declare-function term-emulate-terminal "term" (proc str))

(defcustom nixvm-log-lines 5000
  "How many lines the log keeps."
  :type 'natnum
  :group 'nixvm)

;;;; Doctor

(defvar nixvm-doctor-mode-map
  (let ((map (make-sparse-keymap)))
    (set-keymap-parent map special-mode-map)
    (define-key map "g" #'nixvm-doctor)
    (define-key map "w" #'nixvm-doctor-copy-fix)
    map)
  "Keymap of `nixvm-doctor-mode'.")

(define-derived-mode nixvm-doctor-mode special-mode "Doctor"
  "Problems on this computer, and how to fix them."
  :interactive nil
  (setq-local revert-buffer-function (lambda (&rest _) (nixvm-doctor))))

;;;###autoload
(defun nixvm-doctor ()
  "Check the requirements of nixvm; show problems and how to fix them.
Without a daemon, the program nixvmd checks what it can."
  (interactive)
  (let ((buffer (nixvm--buffer "*nixvm doctor*")))
    (with-current-buffer buffer
      (nixvm-doctor-mode)
      (nixvm--doctor-insert "Checking...\n"))
    (pop-to-buffer buffer)
    (nixvm--async "nixvm/doctor" nil
                  (lambda (result) (nixvm--doctor-show buffer (plist-get result :findings)))
                  (lambda (err) (nixvm--doctor-program buffer err)))))

(defun nixvm--doctor-insert (text)
  "Make TEXT the contents of the current buffer."
  (let ((inhibit-read-only t))
    (erase-buffer)
    (insert text)
    (goto-char (point-min))))

(defun nixvm--doctor-show (buffer findings)
  "Show FINDINGS, a vector of plists, in BUFFER."
  (when (buffer-live-p buffer)
    (with-current-buffer buffer
      (nixvm--doctor-insert
       (if (seq-empty-p findings)
           (concat (propertize "No problems found." 'face 'success)
                   "  This computer has everything that nixvm needs.\n")
         (concat
          (mapconcat #'nixvm--finding-text findings "\n")
          "\n"
          (propertize (substitute-command-keys
                       "\\<nixvm-doctor-mode-map>\\[nixvm-doctor] checks again, \\[nixvm-doctor-copy-fix] copies the fix at point\n")
                      'face 'shadow)))))))

(defun nixvm--finding-text (finding)
  "FINDING as text."
  (let* ((severity (plist-get finding :severity))
         (fix (plist-get finding :fix))
         (text (format "%s  %s: %s\n"
                       (propertize (format "%-7s" severity)
                                   'face (pcase severity ("error" 'error) ("warning" 'warning)
                                                (_ 'shadow)))
                       (propertize (or (plist-get finding :area) "") 'face 'bold)
                       (plist-get finding :message))))
    (propertize (if (or (null fix) (string-empty-p fix)) text
                  (concat text "         " (propertize fix 'face 'font-lock-string-face) "\n"))
                'nixvm-fix fix)))

(defun nixvm-doctor-copy-fix ()
  "Copy the fix of the finding at point, to paste it where you run commands."
  (interactive nil nixvm-doctor-mode)
  (let ((fix (get-text-property (point) 'nixvm-fix)))
    (if (or (null fix) (string-empty-p fix))
        (user-error "There is no fix at point")
      (kill-new fix)
      (message "Copied: %s" fix))))

(defun nixvm--doctor-program (buffer err)
  "Run the program's own doctor for BUFFER, since the daemon cannot because of ERR."
  (let* ((program (nixvm--locally (executable-find nixvm-program)))
         (head (concat (propertize (nixvm--error-text err) 'face 'error) "\n\n")))
    (when (buffer-live-p buffer)
      (with-current-buffer buffer
        (nixvm--doctor-insert
         (if program (concat head "Running " nixvm-program " doctor...\n")
           (concat head "Cannot find the program " nixvm-program " on this computer.\n"
                   "Install nixvmd and put it into your PATH, or set `nixvm-program'.\n")))))
    (when program
      (nixvm--locally
        (make-process
         :name "nixvm-doctor" :buffer (generate-new-buffer " *nixvm-doctor*") :noquery t
         :connection-type 'pipe :command (list program "doctor")
         :sentinel
         (lambda (process _event)
           (unless (process-live-p process)
             (let ((text (with-current-buffer (process-buffer process) (buffer-string))))
               (kill-buffer (process-buffer process))
               (when (buffer-live-p buffer)
                 (with-current-buffer buffer
                   (nixvm--doctor-insert (concat head text))))))))))))

;;;; Log

(defvar nixvm--log-buffer "*nixvm log*" "Name of the buffer that logs.")

(define-derived-mode nixvm-log-mode special-mode "nixvm-log"
  "The output of the tools that operations of nixvmd run."
  :interactive nil
  (buffer-disable-undo))

(defun nixvm--log-message (params)
  "Add the line in PARAMS to the log.
It is untrusted text of tools and guests, and is only inserted."
  (let* ((op (gethash (plist-get params :operation) nixvm--operations))
         (where (string-join (delq nil (list (plist-get op :machine) (plist-get op :kind)
                                             (plist-get params :vertex)))
                             " ")))
    (with-current-buffer (nixvm--buffer nixvm--log-buffer)
      (unless (derived-mode-p 'nixvm-log-mode) (nixvm-log-mode))
      (let ((inhibit-read-only t) (at-end (eobp)))
        (save-excursion
          (goto-char (point-max))
          (insert (propertize (format-time-string "%T ") 'face 'shadow)
                  (if (string-empty-p where) "" (propertize (concat where ": ") 'face 'bold))
                  (propertize (or (plist-get params :message) "")
                              'face (pcase (plist-get params :type) (1 'error) (2 'warning)
                                           (_ 'default)))
                  "\n")
          (when (> (line-number-at-pos) (+ nixvm-log-lines 500))
            (goto-char (point-min))
            (forward-line 500)
            (delete-region (point-min) (point))))
        (when at-end (goto-char (point-max)))))))

(setf (alist-get 'window/logMessage nixvm--notification-handlers) #'nixvm--log-message)

;;;###autoload
(defun nixvm-log ()
  "Show the output of the tools that operations run."
  (interactive)
  (nixvm--connect #'ignore)
  (with-current-buffer (nixvm--buffer nixvm--log-buffer)
    (unless (derived-mode-p 'nixvm-log-mode) (nixvm-log-mode))
    (goto-char (point-max)))
  (pop-to-buffer nixvm--log-buffer))

;;;; Console

;;;###autoload
(defun nixvm-console (name)
  "Open the serial console of the machine NAME in a terminal.
It works when ssh does not.  Kill the buffer to leave it."
  (interactive (list (or (nixvm--name-at-point)
                         (nixvm-read-machine "Console of" (lambda (m) (nixvm--can-p "console" m))))))
  (nixvm--async "nixvm/vm/console" (list :name name)
                (lambda (result)
                  (nixvm--later #'nixvm--open-console name (plist-get result :socket)))
                (lambda (err) (nixvm--show-error err (format "Console of %s" name)))))

(defun nixvm--open-console (name socket)
  "Show the console of the machine NAME, which is at SOCKET."
  (require 'term)
  (let ((buffer (nixvm--buffer (format "*%s console*" name))))
    (with-current-buffer buffer
      (when-let ((old (get-buffer-process buffer))) (delete-process old))
      (let ((inhibit-read-only t)) (erase-buffer))
      (term-mode)
      (setq nixvm--buffer-machine name)
      (let ((process (nixvm--locally
                       (make-network-process :name (format "%s console" name) :buffer buffer
                                             :family 'local :service socket
                                             :coding 'no-conversion :noquery t))))
        (process-put process 'nixvm-machine name)
        (goto-char (point-max))
        (set-marker (process-mark process) (point))
        (set-process-filter process #'nixvm--console-output)
        (set-process-sentinel process #'nixvm--console-ended)
        (term-char-mode)
        ;; A getty shows its prompt again when it is asked.
        (process-send-string process "\r")))
    (pop-to-buffer-same-window buffer)
    buffer))

(defun nixvm--console-output (process text)
  "Show TEXT of PROCESS, the bytes of a guest, which may be hostile.
Term obeys lines that begin with ESC AnSiT, for instance to change the
directory of the buffer; these are not for a guest."
  (term-emulate-terminal process (replace-regexp-in-string "\eAnSiT" "" text t t)))

(defun nixvm--console-ended (process _event)
  "Say in the buffer of PROCESS that the console is closed."
  (when (and (not (process-live-p process)) (buffer-live-p (process-buffer process)))
    (with-current-buffer (process-buffer process)
      (let ((inhibit-read-only t))
        (goto-char (point-max))
        (insert "\n[the console is closed]\n")))))

(provide 'nixvm-report)
;;; nixvm-report.el ends here
