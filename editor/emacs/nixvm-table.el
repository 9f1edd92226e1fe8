;;; nixvm-table.el --- Lists of what the daemon has  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; What the lists of images, of backups and of machines to take over share: a row
;; for each element of one answer of the daemon, shown again with g.

;;; Code:

(require 'nixvm-state)
(require 'tabulated-list)

(defvar-local nixvm--table-source nil
  "Where the rows come from, a plist.
:method and :params are the request, :field the list in its answer, :entry the
function that makes a row of an element, and :then, if non-nil, a function that
is called with the answer.")

(defun nixvm--table-init (format sort &rest source)
  "Let the current buffer be a table with FORMAT, sorted by the column SORT.
SOURCE is as in `nixvm--table-source'."
  (setq tabulated-list-padding 2
        tabulated-list-format format
        tabulated-list-sort-key sort
        nixvm--table-source source)
  (setq-local revert-buffer-function #'nixvm--table-revert)
  (tabulated-list-init-header))

(defun nixvm--table-show (name mode &rest source)
  "Show the table MODE in the buffer NAME, with SOURCE before its own source."
  (with-current-buffer (nixvm--buffer name)
    (funcall mode)
    (setq nixvm--table-source (append source nixvm--table-source))
    (nixvm--table-revert)
    (pop-to-buffer-same-window (current-buffer))))

(defun nixvm--table-revert (&rest _)
  "Show the rows as they are now."
  (let ((buffer (current-buffer))
        (source nixvm--table-source))
    (nixvm--async (plist-get source :method) (plist-get source :params)
                  (lambda (result)
                    (when (buffer-live-p buffer)
                      (with-current-buffer buffer
                        (setq tabulated-list-entries
                              (mapcar (plist-get source :entry)
                                      (plist-get result (plist-get source :field))))
                        (tabulated-list-print t)
                        (when-let ((then (plist-get source :then))) (funcall then result))))))))

(defun nixvm--table-refresh (name)
  "Show the rows of the table in the buffer NAME anew, if it is shown."
  (when-let ((buffer (get-buffer name)))
    (with-current-buffer buffer (nixvm--table-revert))))

(defun nixvm--table-row (noun)
  "The element of the row at point, which is a NOUN."
  (or (tabulated-list-get-id) (user-error "There is no %s at point" noun)))

(defun nixvm--table-smaller-p (a b)
  "Whether the element of the entry A takes less space than that of B."
  (< (or (plist-get (car a) :bytes) 0) (or (plist-get (car b) :bytes) 0)))

(defun nixvm--table-time (time)
  "TIME of the daemon for a column, in the zone of this computer."
  (if-let ((time (nixvm--time time))) (format-time-string "%F %R" time) ""))

(defun nixvm--local-path (file)
  "The absolute name of FILE, which has to be on this computer."
  (if (file-remote-p file)
      (user-error "That is on another computer; nixvmd needs a file of this one")
    (directory-file-name (expand-file-name file))))

(provide 'nixvm-table)
;;; nixvm-table.el ends here
