;;; nixvm-list.el --- The list of machines  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; One buffer shows every machine of every backend.  The daemon pushes what
;; changes; nothing polls.  Point and marks belong to machines, not to lines.

;;; Code:

(require 'nixvm-operation)
(require 'tabulated-list)

(defcustom nixvm-list-columns '(name state profiles memory cpus disk backend host)
  "The columns of the list of machines.
Each is a symbol of `nixvm-list-column-alist', or a list like its values."
  :type '(repeat (choice (const name) (const state) (const profiles) (const mode) (const memory)
                         (const cpus) (const disk) (const used) (const network) (const backend) (const host)
                         (const image) (const address) (const started) (const autostart)
                         (list string integer (choice (const t) (const nil) function) function)))
  :group 'nixvm)

(defcustom nixvm-list-buffer "*nixvm*"
  "Name of the buffer with the list of machines."
  :type 'string
  :group 'nixvm)

(defvar nixvm-list-column-alist
  `((name "Name" 18 t ,(lambda (m) (propertize (plist-get m :name) 'face 'bold)))
    (state "State" 30 t nixvm--list-state)
    (profiles "Profiles" 18 t ,(lambda (m) (string-join (plist-get m :profiles) ",")))
    (mode "Mode" 12 t ,(lambda (m) (plist-get m :mode)))
    (memory "Memory" 8 nixvm--list-memory< ,(lambda (m) (nixvm--size (plist-get m :memoryMiB))))
    (cpus "CPUs" 5 nil ,(lambda (m) (if-let ((n (plist-get m :vcpus))) (format "%s" n) "")))
    (disk "Disk" 8 nil ,(lambda (m) (nixvm--size (/ (or (plist-get m :diskBytes) 0) 1048576))))
    (used "Disk used" 10 nil nixvm--list-used)
    (network "Network" 12 t ,(lambda (m) (plist-get m :network)))
    (backend "Backend" 10 t ,(lambda (m) (plist-get m :backend)))
    (host "SSH name" 18 t ,(lambda (m) (plist-get m :sshHost)))
    (image "Image" 10 t ,(lambda (m) (let ((i (plist-get m :image)))
                                       (or (plist-get i :distro) (plist-get i :kind)))))
    (address "Address" 18 t ,(lambda (m) (plist-get m :address)))
    (started "Started" 17 t
             ,(lambda (m) (if-let ((time (nixvm--time (plist-get m :started))))
                              (format-time-string "%F %R" time) "")))
    (autostart "Autostart" 9 t
               ,(lambda (m) (if (nixvm--true (plist-get m :autostart)) "yes" ""))))
  "Alist of (SYMBOL TITLE WIDTH SORT FUNCTION); FUNCTION gets the machine.
SORT is as in `tabulated-list-format'.")

(defvar-local nixvm--list-marks nil "The marked machines, by name.")

(defvar-local nixvm--list-cells nil "Cells by machine; machines are compared with `eq'.")
(defvar-local nixvm--list-rows nil "Text of rows by cells, compared with `eq'.")

(defvar nixvm-list-mode-map
  (let ((map (make-sparse-keymap)))
    (set-keymap-parent map tabulated-list-mode-map)
    (dolist (binding '(("RET" . nixvm-attach) ("o" . nixvm-attach) ("j" . nixvm-dired)
                       ("f" . nixvm-find-file) ("!" . nixvm-shell) ("e" . nixvm-eshell)
                       ("v" . nixvm-terminal) ("G" . nixvm-magit) ("a" . nixvm-run-agent)
                       ("," . nixvm-pull)
                       ("c" . nixvm-create) ("+" . nixvm-create) ("V" . nixvm-declare) ("@" . nixvm-adopt)
                       ("s" . nixvm-start) ("S" . nixvm-stop) ("b" . nixvm-reboot)
                       ("K" . nixvm-kill) ("z" . nixvm-suspend) ("Z" . nixvm-resume)
                       ("t" . nixvm-snapshot) ("r" . nixvm-restore) ("T" . nixvm-delete-snapshot)
                       ("H" . nixvm-backup) ("J" . nixvm-restore-backup)
                       ("D" . nixvm-destroy) ("P" . nixvm-purge)
                       ("F" . nixvm-forward-add) ("R" . nixvm-forward-remove)
                       ("C" . nixvm-console) ("l" . nixvm-log) ("d" . nixvm-doctor)
                       ("k" . nixvm-cancel) ("x" . nixvm-operation)
                       ("w" . nixvm-list-copy-host)
                       ("y" . nixvm-clone) ("M" . nixvm-migrate) ("A" . nixvm-autostart)
                       ("^" . nixvm-upgrade) ("~" . nixvm-rollback)
                       ("%" . nixvm-upgrade-preview) ("*" . nixvm-upgrade-all)
                       ("p" . nixvm-passwd) ("O" . nixvm-set-mode) ("W" . nixvm-recreate)
                       ("N" . nixvm-rename)
                       ("=" . nixvm-configure) ("Y" . nixvm-apply) ("&" . nixvm-share)
                       ("L" . nixvm-backups) ("]" . nixvm-export) ("[" . nixvm-import)
                       ("I" . nixvm-images) ("B" . nixvm-image-build) ("X" . nixvm-image-gc)
                       ("E E" . nixvm-resolve) ("E r" . nixvm-resolve-resume)
                       ("E u" . nixvm-resolve-undo) ("E f" . nixvm-resolve-forget)
                       ("m" . nixvm-list-mark) ("u" . nixvm-list-unmark)
                       ("U" . nixvm-list-unmark-all) ("DEL" . nixvm-list-unmark-backward)
                       ("i" . nixvm-list-describe)
                       ("?" . nixvm-menu) ("h" . nixvm-menu)))
      (define-key map (kbd (car binding)) (cdr binding)))
    map)
  "Keymap of `nixvm-list-mode'.")

(define-derived-mode nixvm-list-mode tabulated-list-mode "nixvm"
  "The list of machines.
\\<nixvm-list-mode-map>Attach with \\[nixvm-attach], create with \\[nixvm-create], \
and see all keys with \\[nixvm-menu].

\\{nixvm-list-mode-map}"
  :interactive nil
  (setq tabulated-list-padding 2
        tabulated-list-format (nixvm--list-format)
        tabulated-list-printer #'nixvm--list-print-entry
        nixvm--list-cells (make-hash-table :test #'eq :weakness 'key)
        nixvm--list-rows (make-hash-table :test #'eq :weakness 'key)
        tabulated-list-sort-key (cons (car (aref tabulated-list-format 0)) nil)
        mode-line-process '((:eval (nixvm--list-mode-line))))
  (setq-local revert-buffer-function #'nixvm--list-revert)
  (tabulated-list-init-header))

;;;; Cells

(defun nixvm--list-used (machine)
  "What the disk of MACHINE takes on its host, and what of that is of snapshots."
  (when-let ((disk (plist-get machine :disk)))
    (let ((size (lambda (bytes) (nixvm--size (max 1 (/ (or bytes 0) 1048576)))))
          (snapshots (or (plist-get disk :snapshotBytes) 0)))
      (concat (funcall size (plist-get disk :usedBytes))
              (if (zerop snapshots) ""
                (format " (%s by snapshots)" (funcall size snapshots)))))))

(defun nixvm--list-column (column)
  "Return the (TITLE WIDTH SORT FUNCTION) of COLUMN."
  (if (consp column) column
    (or (alist-get column nixvm-list-column-alist)
        (user-error "`nixvm-list-columns' has %S, which is not a column" column))))

(defun nixvm--list-format ()
  "The `tabulated-list-format' for `nixvm-list-columns'."
  (vconcat (mapcar (lambda (column)
                     (pcase-let ((`(,title ,width ,sort ,_) (nixvm--list-column column)))
                       (list title width sort)))
                   nixvm-list-columns)))

(defun nixvm--list-state (machine)
  "The cell with the state of MACHINE, or with the progress of its operation.
What is more than a word may run over the columns behind it."
  (let ((op (nixvm--operation-of machine))
        (state (nixvm--state machine)))
    (cond (op (propertize (nixvm--progress-text op) 'face 'nixvm-busy 'nixvm-wide t))
          ((nixvm--unresolved (plist-get machine :name))
           (propertize (concat (and (plist-get machine :phase) (concat state ", "))
                               (nixvm--unresolved-text
                                (car (nixvm--unresolved (plist-get machine :name)))))
                       'face 'nixvm-broken 'nixvm-wide t
                       'help-echo (substitute-command-keys
                                   "\\<nixvm-list-mode-map>\\[nixvm-resolve] shows the choices")))
          ((plist-get machine :problem)
           (propertize (format "%s: %s" state
                               (or (plist-get (plist-get machine :problem) :message) "problem"))
                       'face 'nixvm-broken 'nixvm-wide t
                       'help-echo (plist-get (plist-get machine :problem) :hint)))
          ((member state '("crashed" "broken"))
           (propertize (if-let ((reason (plist-get machine :reason)))
                           (format "%s: %s" state reason)
                         state)
                       'face 'nixvm-broken 'nixvm-wide t))
          ((or (nixvm--stale-image machine) (nixvm--pending machine))
           (propertize (format "%s, %s" state (or (nixvm--stale-image machine) "pending changes"))
                       'face (nixvm--state-face state) 'nixvm-wide t
                       'help-echo (substitute-command-keys
                                   (if (nixvm--pending machine)
                                       (concat (nixvm--pending-text machine)
                                               " (\\<nixvm-list-mode-map>\\[nixvm-apply])")
                                     "\\<nixvm-list-mode-map>\\[nixvm-upgrade] gives it a new image"))))
          (t (propertize state 'face (nixvm--state-face state)
                         'help-echo (plist-get (plist-get machine :snapshots) :warning))))))

(defun nixvm--stale-image (machine)
  "What an upgrade would change about the image of MACHINE; nil for nothing."
  (cond ((member "profiles" (append (plist-get machine :pending) nil)) "profiles changed")
        ((nixvm--true (plist-get machine :outdated)) "outdated")))

(defun nixvm--list-memory< (a b)
  "Whether the machine of the entry A has less memory than that of B."
  (< (or (plist-get (nixvm-machine (car a)) :memoryMiB) 0)
     (or (plist-get (nixvm-machine (car b)) :memoryMiB) 0)))

(defun nixvm--list-entries ()
  "The rows: (NAME CELLS) for every machine.
The cells of a machine that has not changed are those of last time, `eq'.  An
operation that is unresolved is not part of its machine."
  (let ((functions (mapcar (lambda (c) (nth 3 (nixvm--list-column c))) nixvm-list-columns))
        (waiting (mapcar (lambda (op) (plist-get op :machine)) (nixvm--unresolved))))
    (cl-flet ((cells (m) (vconcat (mapcar (lambda (f) (or (funcall f m) "")) functions))))
      (mapcar (lambda (m)
                (list (plist-get m :name)
                      (cond ((member (plist-get m :name) waiting) (cells m))
                            ((and (not (plist-get m :operation)) (gethash m nixvm--list-cells)))
                            (t (puthash m (cells m) nixvm--list-cells)))))
              (append (nixvm-machines) (nixvm--list-remains))))))

(defun nixvm--list-remains ()
  "Remains of machines that are in no list, as machines with a name only.
An unresolved operation may have left a partial machine, which needs a decision."
  (mapcar (lambda (name) (list :name name))
          (delete-dups
           (cl-remove-if #'nixvm-machine
                         (delq nil (mapcar (lambda (op) (plist-get op :machine))
                                           (nixvm--unresolved)))))))

(defun nixvm--list-mode-line ()
  "How many machines are up, for the mode line."
  (let ((up 0) (all 0))
    (maphash (lambda (_ m) (cl-incf all) (when (nixvm--up-p m) (cl-incf up))) nixvm--machines)
    (concat (cond ((not (nixvm--live)) (propertize " offline" 'face 'error))
                  ((zerop all) "")
                  (t (format " %d up of %d" up all)))
            (when-let ((unresolved (nixvm--unresolved)))
              (propertize (format ", %d unresolved" (length unresolved)) 'face 'error))
            (and nixvm--list-marks (format ", %d marked" (length nixvm--list-marks)))
            (unless (member (plist-get nixvm--status :health) '(nil "ok"))
              (propertize " !" 'face 'error
                          'help-echo (plist-get nixvm--status :message))))))

;;;; The buffer

;;;###autoload
(defun nixvm-list ()
  "Show the list of machines."
  (interactive)
  (let ((buffer (nixvm--buffer nixvm-list-buffer)))
    (with-current-buffer buffer
      (unless (derived-mode-p 'nixvm-list-mode) (nixvm-list-mode))
      (nixvm--list-print))
    (pop-to-buffer-same-window buffer)
    (nixvm--connect #'nixvm--list-refresh #'ignore)))

(defun nixvm--list-buffers ()
  "The buffers that show a list of machines."
  (cl-remove-if-not (lambda (b) (eq (buffer-local-value 'major-mode b) 'nixvm-list-mode))
                    (buffer-list)))

(defun nixvm--list-refresh ()
  "Draw all lists anew."
  (dolist (buffer (nixvm--list-buffers))
    (with-current-buffer buffer (nixvm--list-print))))

(defun nixvm--list-revert (&rest _)
  "Ask the daemon for everything anew; connect if there is no connection."
  (nixvm--async "nixvm/machine/list" nil
                (lambda (result) (nixvm--did-change (append '(:full t) result)))))

(defun nixvm--list-print ()
  "Draw the current buffer; point and every mark stay where they were."
  (let* (;; Garbage is collected afterwards, not in the middle of the drawing.
         (gc-cons-threshold (max gc-cons-threshold 16777216))
         (entries (nixvm--list-entries))
         (notice (nixvm--list-notice)))
    (cond
     (notice
      (let ((inhibit-read-only t))
        (setq tabulated-list-entries nil)
        (erase-buffer)
        (insert notice)
        (goto-char (point-min))))
     ((nixvm--list-update entries))
     (t
      (let ((windows (mapcar (lambda (w) (cons w (nixvm--list-place (window-point w))))
                             (get-buffer-window-list nil nil t))))
        (setq tabulated-list-entries entries)
        (tabulated-list-print t)
        (dolist (w windows)
          (unless (eq (car w) (selected-window))
            (set-window-point (car w) (nixvm--list-position (cdr w))))))))
    (unless notice (nixvm--list-draw-marks entries))
    (set-buffer-modified-p nil)
    (force-mode-line-update)))

(defun nixvm--list-update (entries)
  "Draw only the rows of ENTRIES that have changed; return nil if that will not do.
It will not if there are other machines than before, or in another order."
  (let ((rows (make-hash-table :test #'equal))
        (sorted (cl-position (car tabulated-list-sort-key) tabulated-list-format
                             :key #'car :test #'equal))
        (known 0) changed)
    (dolist (entry entries) (puthash (car entry) (cadr entry) rows))
    (save-excursion
      (goto-char (point-min))
      (while (not (eobp))
        (let ((new (gethash (tabulated-list-get-id) rows))
              (old (tabulated-list-get-entry)))
          (cond ((or (null new) (and sorted (not (equal (aref new sorted) (aref old sorted)))))
                 (setq known -1)
                 (goto-char (point-max)))
                (t (cl-incf known)
                   (unless (eq new old) (push (point) changed))
                   (forward-line 1))))))
    (when (and (> known 0) (= known (length entries)))
      (setq tabulated-list-entries entries)
      (let ((inhibit-read-only t)
            (place (nixvm--list-place (point)))
            (windows (mapcar (lambda (w) (cons w (nixvm--list-place (window-point w))))
                             (get-buffer-window-list nil nil t))))
        ;; From the end, so that the positions stay right.
        (dolist (position changed)
          (goto-char position)
          (let ((id (tabulated-list-get-id)))
            (delete-region position (line-beginning-position 2))
            (nixvm--list-print-entry id (gethash id rows))))
        (goto-char (nixvm--list-position place))
        (dolist (w windows)
          (set-window-point (car w) (nixvm--list-position (cdr w)))))
      t)))

(defun nixvm--list-print-entry (id cells)
  "Insert the row of the machine ID with CELLS.
The printer of `tabulated-list-mode' makes every row anew, most of whose time
is garbage collection; here a row that is the same is the same string."
  (insert (or (gethash cells nixvm--list-rows)
              (puthash cells (nixvm--list-row id cells) nixvm--list-rows))))

(defun nixvm--list-row (id cells)
  "Return the text of the row of the machine ID with CELLS.
A cell with the property `nixvm-wide' takes as many of the columns behind it as
it needs, but not the last one."
  (let ((last (1- (length tabulated-list-format)))
        (parts (list (make-string tabulated-list-padding ?\s)))
        (n 0))
    (while (<= n last)
      (let* ((width (nth 1 (aref tabulated-list-format n)))
             (full (aref cells n))
             (text (if (string-match-p "[[:cntrl:]]" full)
                       (replace-regexp-in-string "[[:cntrl:]]" " " full)
                     full)))
        (when (and (> (string-width text) width) (get-text-property 0 'nixvm-wide full))
          (while (and (< (1+ n) last) (> (string-width text) width))
            (cl-incf n)
            (cl-incf width (1+ (nth 1 (aref tabulated-list-format n))))))
        (when (> (string-width text) width)
          (setq text (propertize (truncate-string-to-width text width nil nil t) 'help-echo full)))
        (unless (= n last)
          (setq text (concat text (make-string (- (1+ width) (string-width text)) ?\s))))
        (push text parts)
        (cl-incf n)))
    (propertize (concat (apply #'concat (nreverse parts)) "\n")
                'tabulated-list-id id 'tabulated-list-entry cells)))

(defun nixvm--list-place (position)
  "Return (NAME COLUMN LINE) of POSITION."
  (save-excursion
    (goto-char position)
    (list (tabulated-list-get-id) (current-column) (line-number-at-pos))))

(defun nixvm--list-position (place)
  "Return the position of PLACE, a (NAME COLUMN LINE) of before the drawing."
  (pcase-let ((`(,name ,column ,line) place))
    (save-excursion
      (goto-char (point-min))
      (while (not (or (eobp) (equal (tabulated-list-get-id) name))) (forward-line 1))
      (when (eobp)
        (goto-char (point-min))
        (forward-line (1- line)))
      (move-to-column column)
      (point))))

(defun nixvm--list-notice ()
  "What to show instead of rows: an error or how to begin; nil with rows."
  (cond
   ((and nixvm--connection-error (not (nixvm--live)))
    (concat "\n  " (propertize (or (plist-get nixvm--connection-error :message) "No connection")
                               'face 'error)
            "\n" (if-let ((hint (plist-get nixvm--connection-error :hint)))
                     (format "\n  %s\n" hint) "")
            (substitute-command-keys
             "\\<nixvm-list-mode-map>
  \\[nixvm-doctor]  diagnoses the problem
  \\[revert-buffer]  tries again\n")))
   ((or (> (hash-table-count nixvm--machines) 0) (nixvm--unresolved)) nil)
   ((not (nixvm--live)) "\n  Connecting to nixvmd...\n")
   (t
    (substitute-command-keys
     "\\<nixvm-list-mode-map>
  There are no machines yet.

  c  creates one and attaches to it when it is ready
  \\[nixvm-doctor]  checks whether this computer can run machines
  ?  shows all keys\n"))))

(add-hook 'nixvm--refresh-functions #'nixvm--list-refresh)
(add-hook 'nixvm--wanted-functions #'nixvm--list-buffers)

;;;; Marks

(defun nixvm--list-draw-marks (entries)
  "Show every mark; forget those whose machine is not in ENTRIES."
  (setq nixvm--list-marks (cl-remove-if-not (lambda (n) (assoc n entries)) nixvm--list-marks))
  (when nixvm--list-marks
    (save-excursion
      (goto-char (point-min))
      (while (not (eobp))
        (when (member (tabulated-list-get-id) nixvm--list-marks)
          (tabulated-list-put-tag (propertize "*" 'face 'warning)))
        (forward-line 1)))))

(defun nixvm--list-set-mark (mark)
  "Mark the machine at point if MARK is non-nil, else unmark it; go on."
  (let ((name (or (tabulated-list-get-id) (user-error "There is no machine at point"))))
    (setq nixvm--list-marks (delete name nixvm--list-marks))
    (when mark (push name nixvm--list-marks))
    (with-silent-modifications
      (tabulated-list-put-tag (if mark (propertize "*" 'face 'warning) " ") t))))

(defun nixvm-list-mark ()
  "Mark the machine at point for the next command."
  (interactive nil nixvm-list-mode)
  (nixvm--list-set-mark t))

(defun nixvm-list-unmark ()
  "Unmark the machine at point."
  (interactive nil nixvm-list-mode)
  (nixvm--list-set-mark nil))

(defun nixvm-list-unmark-backward ()
  "Unmark the machine in the line above."
  (interactive nil nixvm-list-mode)
  (forward-line -1)
  (save-excursion (nixvm--list-set-mark nil)))

(defun nixvm-list-unmark-all ()
  "Unmark all machines."
  (interactive nil nixvm-list-mode)
  (setq nixvm--list-marks nil)
  (with-silent-modifications (tabulated-list-clear-all-tags)))

(defun nixvm--list-targets ()
  "The marked machines, else the one at point, as a list of names; nil elsewhere."
  (when (derived-mode-p 'nixvm-list-mode)
    (or (reverse nixvm--list-marks)
        (when-let ((name (tabulated-list-get-id))) (list name)))))

;;;; Rows

(defun nixvm-list-copy-host ()
  "Copy the SSH name of the machine at point."
  (interactive nil nixvm-list-mode)
  (let ((host (plist-get (nixvm-machine (nixvm--name-at-point)) :sshHost)))
    (unless host (user-error "This machine has no SSH name yet"))
    (kill-new host)
    (message "Copied: %s" host)))

(defun nixvm-list-describe ()
  "Show all details of the machine at point."
  (interactive nil nixvm-list-mode)
  (let ((machine (or (nixvm-machine (nixvm--name-at-point))
                     (and (nixvm--name-at-point) (list :name (nixvm--name-at-point)))
                     (user-error "There is no machine at point"))))
    (with-help-window (help-buffer)
      (with-current-buffer standard-output
        (dolist (column (mapcar #'cdr nixvm-list-column-alist))
          (let ((value (funcall (nth 3 column) machine)))
            (when (and value (not (equal value "")))
              (insert (propertize (format "%-10s" (nth 0 column)) 'face 'bold) value "\n"))))
        (dolist (op (nixvm--unresolved (plist-get machine :name)))
          (insert "\n" (propertize (nixvm--unresolved-text op) 'face 'error) "\n")
          (mapc (lambda (c) (insert (format "  %-8s%s\n" (plist-get c :action) (plist-get c :effect))))
                (plist-get op :choices)))
        (cl-loop for (key title) in '((:nextStart "Next start") (:pending "Pending"))
                 for settings = (append (plist-get machine key) nil)
                 when settings
                 do (insert (propertize (format "%-10s" title) 'face 'bold)
                            " " (nixvm--setting-names settings) "\n"))
        (when-let ((reason (plist-get machine :reason)))
          (insert "\n" reason "\n"))
        (when-let ((problem (plist-get machine :problem)))
          (insert "\n" (propertize (nixvm--error-text problem) 'face 'error) "\n"))))))

(provide 'nixvm-list)
;;; nixvm-list.el ends here
