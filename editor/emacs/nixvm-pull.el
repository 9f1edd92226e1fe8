;;; nixvm-pull.el --- The branch of an agent in your checkout  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; `nixvm-pull' fetches a branch from a machine into a checkout on this computer, and
;; shows its commits and files, and the changes that could run here.  In that buffer, d
;; shows the diff and l the log: with Magit, if it is installed, else with `vc-diff'.

;;; Code:

(require 'nixvm)
(require 'vc-git)

(declare-function magit-diff-range "ext:magit-diff" (rev-or-range &optional args files))
(declare-function magit-log-other "ext:magit-log" (revs &optional args files))

(defvar-local nixvm--review nil "The answer of nixvm/agent/review that the buffer shows.")

(defvar nixvm-review-mode-map
  (let ((map (make-sparse-keymap)))
    (set-keymap-parent map special-mode-map)
    (define-key map "d" #'nixvm-review-diff)
    (define-key map "l" #'nixvm-review-log)
    map)
  "Keymap of `nixvm-review-mode'.")

(define-derived-mode nixvm-review-mode special-mode "Review"
  "A branch that was pulled from a machine.
\\<nixvm-review-mode-map>\\[nixvm-review-diff] shows the diff, \\[nixvm-review-log] the log."
  :interactive nil
  (setq-local revert-buffer-function
              (lambda (&rest _)
                (nixvm--review-fetch (plist-get nixvm--review :directory)
                                     (plist-get nixvm--review :ref)))))

;;;###autoload
(defun nixvm-pull (name directory &optional repository)
  "Fetch the branch of an agent from the machine NAME into the checkout DIRECTORY.
It becomes refs/nixvm/NAME/BRANCH; nothing else in the checkout changes.  Then
show what it adds, and what in it could run on this computer.  REPOSITORY is its
path in the machine, ~/project by default; a prefix argument asks for it."
  (interactive
   (let ((name (nixvm--target "Pull the branch of" "pull")))
     (list name
           (read-directory-name (format "Pull the branch of %s into the checkout: " name)
                                (unless (file-remote-p default-directory)
                                  (vc-git-root default-directory))
                                nil t)
           (and current-prefix-arg (read-string "Repository in the machine: " "~/project")))))
  (let ((directory (nixvm--checkout directory)))
    (nixvm--begin "nixvm/agent/pull"
                  (append (list :name name :directory directory)
                          (and repository (list :repository repository)))
                  (format "Pull the branch of %s" name)
                  (lambda (result)
                    (nixvm--review-fetch directory
                                         (plist-get (plist-get result :operation) :ref))))))

(defun nixvm--checkout (directory)
  "The absolute name of DIRECTORY, which has to be on this computer."
  (if (file-remote-p directory)
      (user-error "That is on another computer; the checkout has to be on this one")
    (directory-file-name (expand-file-name directory))))

(defun nixvm--review-fetch (directory ref)
  "Show the review of REF in the checkout DIRECTORY."
  (nixvm--async "nixvm/agent/review" (list :directory directory :ref ref)
                #'nixvm--review-show
                (lambda (err) (message "%s cannot be examined: %s" ref (plist-get err :message)))))

(defun nixvm--review-show (review)
  "Show REVIEW, an answer of nixvm/agent/review, in a buffer."
  (let ((buffer (get-buffer-create (format "*nixvm review: %s*" (plist-get review :ref)))))
    (with-current-buffer buffer
      (nixvm-review-mode)
      (setq nixvm--review review
            default-directory (file-name-as-directory (plist-get review :directory)))
      (let ((inhibit-read-only t))
        (erase-buffer)
        (nixvm--review-insert review))
      (goto-char (point-min)))
    (pop-to-buffer buffer)))

(defun nixvm--review-insert (review)
  "Insert the text of REVIEW: what could run comes first."
  (let ((line (lambda (format &rest args) (insert (apply #'format format args) "\n")))
        (flags (append (plist-get review :flags) nil)))
    (funcall line "%s is at %s." (plist-get review :ref) (nixvm--review-id (plist-get review :commit)))
    (unless (plist-get review :base)
      (funcall line "%s" (propertize "It has no common history with HEAD: everything in it is new." 'face 'error)))
    (when-let ((why (plist-get review :incomplete)))
      (funcall line "%s" (propertize (format "Not everything was examined: %s." why) 'face 'error)))
    (funcall line "\n%s" (if flags
                             (propertize "Look at these before you check out or merge the branch; they could run on this computer:"
                                         'face 'warning)
                           "No change is in a file that is known to run by itself on this computer."))
    (dolist (flag flags)
      (funcall line "  %s: %s" (propertize (plist-get flag :rule) 'face 'warning) (plist-get flag :why))
      (seq-doseq (path (plist-get flag :paths))
        (funcall line "    %s%s" (plist-get path :path)
                 (if-let ((found (plist-get path :found))) (concat ": " found) "")))
      (nixvm--review-more (plist-get flag :count) (length (plist-get flag :paths))))
    (funcall line "\nCommits: %d" (plist-get review :commitCount))
    (seq-doseq (commit (plist-get review :commits))
      (funcall line "  %s %s (%s)" (nixvm--review-id (plist-get commit :id))
               (plist-get commit :subject) (plist-get commit :author)))
    (nixvm--review-more (plist-get review :commitCount) (length (plist-get review :commits)))
    (funcall line "\nChanged files: %d" (plist-get review :fileCount))
    (seq-doseq (file (plist-get review :files))
      (funcall line "  %s %s (%s)" (plist-get file :status) (plist-get file :path)
               (if (plist-get file :added)
                   (format "+%d -%d" (plist-get file :added) (plist-get file :deleted))
                 "binary")))
    (nixvm--review-more (plist-get review :fileCount) (length (plist-get review :files)))))

(defun nixvm--review-id (id)
  "The object name ID for people."
  (substring id 0 (min 12 (length id))))

(defun nixvm--review-more (all shown)
  "Insert how many of ALL are not among those SHOWN."
  (when (> all shown) (insert (format "    and %d more\n" (- all shown)))))

(defun nixvm--review-base ()
  "What the branch of this buffer is compared with."
  (or (plist-get nixvm--review :base) "HEAD"))

(defun nixvm--review-magit-p ()
  "Whether Magit is there for the diff and the log."
  (and (require 'magit-diff nil t) (require 'magit-log nil t)))

(defun nixvm-review-diff ()
  "Show the diff of the branch, without programs of the configuration of git."
  (interactive nil nixvm-review-mode)
  (let ((ref (plist-get nixvm--review :ref)))
    (if (nixvm--review-magit-p)
        (magit-diff-range (concat (nixvm--review-base) ".." ref) '("--no-ext-diff" "--no-textconv"))
      (nixvm--review-git 'diff-mode "diff" "--no-ext-diff" "--no-textconv" "--no-color"
                         "--end-of-options" (nixvm--review-base) ref))))

(defun nixvm-review-log ()
  "Show the log of the branch."
  (interactive nil nixvm-review-mode)
  (let ((range (concat (nixvm--review-base) ".." (plist-get nixvm--review :ref))))
    (if (nixvm--review-magit-p)
        (magit-log-other (list range))
      (nixvm--review-git 'special-mode "log" "--no-color" "--no-show-signature" "--stat"
                         "--no-ext-diff" "--no-textconv" "--end-of-options" range))))

(defun nixvm--review-git (mode &rest args)
  "Show the output of git with ARGS in a buffer in MODE."
  (let ((directory default-directory)
        (buffer (get-buffer-create "*nixvm git*")))
    (with-current-buffer buffer
      (when-let ((old (get-buffer-process buffer))) (delete-process old))
      (let ((inhibit-read-only t)) (erase-buffer))
      (funcall mode)
      (setq default-directory directory buffer-read-only t)
      (make-process :name "nixvm-git" :buffer buffer :noquery t :connection-type 'pipe
                    :command (append '("git" "--no-pager") args)
                    :filter (lambda (process text)
                              (when (buffer-live-p (process-buffer process))
                                (with-current-buffer (process-buffer process)
                                  (let ((inhibit-read-only t))
                                    (save-excursion (goto-char (point-max)) (insert text))))))
                    :sentinel #'ignore))
    (pop-to-buffer buffer)))

(provide 'nixvm-pull)
;;; nixvm-pull.el ends here
