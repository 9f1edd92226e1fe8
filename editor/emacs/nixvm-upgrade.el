;;; nixvm-upgrade.el --- New images for existing machines  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; The upgrade of a machine to another image, and the way back.

;;; Code:

(require 'nixvm)
(require 'nixvm-report)

(defun nixvm--confirm-image (machine question)
  "Ask QUESTION, whether MACHINE gets another image; return what the request needs.
What was installed into the /nix of a semi-mutable machine may be lost: then its
name must be typed."
  (let ((name (plist-get machine :name)))
    (if (equal (plist-get machine :mode) "semi-mutable")
        (progn
          (nixvm--confirm-by-name
           name (format "What was installed into /nix of %s is removed if the image has another Nix store." name))
          (list :confirm name))
      (unless (yes-or-no-p (format "%s%s  Continue? " question
                                   (if (nixvm--up-p machine)
                                       "; it is shut down and started again, and keeps its data."
                                     "; it keeps its data.")))
        (keyboard-quit)))))

(defun nixvm--imaged (name result)
  "Tell that the machine NAME has the image of the operation in RESULT."
  (let ((op (plist-get result :operation)))
    (message "%s is at generation %s, image %s" name (plist-get op :generation) (plist-get op :image))))

;;;###autoload
(defun nixvm-upgrade (name &optional params)
  "Upgrade the machine NAME to the current image for its profiles.
PARAMS are further ones of the request.  A running machine is shut down, started
and checked; it returns to its former image if the guest does not work.  With a
prefix argument ask for another image, which later upgrades use, too.
`nixvm-upgrade-preview' shows beforehand what would change."
  (interactive
   (let* ((name (nixvm--target "Upgrade" "upgrade"))
          (image (and current-prefix-arg (nixvm--read-other-image name))))
     (list name (append (and image (list :image image))
                        (nixvm--confirm-image (nixvm-machine name)
                                              (format "%s gets %s" name
                                                      (if image (format "the image %s" image) "a new image")))))))
  (nixvm--begin "nixvm/vm/upgrade" (append (list :name name) params) (format "Upgrade %s" name)
                (apply-partially #'nixvm--imaged name)))

(defun nixvm--read-other-image (name)
  "Ask for another image of the machine NAME: a kind, a file, or a URL."
  (let* ((machine (nixvm-machine name))
         (draft (list :mode (plist-get machine :mode) :profiles (plist-get machine :profiles)))
         (choices (append (plist-get (plist-get (nixvm--check "image" draft) :image) :choices) nil))
         (image (nixvm--ask "create" draft :image
                            (lambda (typed problem)
                              (nixvm--read-image typed choices nil problem)))))
    (if (and image (string-match-p "\\`[.~]" image)) (expand-file-name image) image)))

;;;; Before an upgrade

(defvar-local nixvm--preview-name nil "The machine whose upgrade this buffer shows.")

(defvar nixvm-upgrade-preview-mode-map
  (let ((map (make-sparse-keymap)))
    (set-keymap-parent map special-mode-map)
    (define-key map "^" #'nixvm-upgrade-previewed)
    map)
  "Keymap of `nixvm-upgrade-preview-mode'.")

(define-derived-mode nixvm-upgrade-preview-mode special-mode "Upgrade"
  "What the upgrade of a machine would change.
\\<nixvm-upgrade-preview-mode-map>\\[nixvm-upgrade-previewed] upgrades it.

\\{nixvm-upgrade-preview-mode-map}"
  :interactive nil
  (setq-local revert-buffer-function (lambda (&rest _) (nixvm-upgrade-preview nixvm--preview-name))))

;;;###autoload
(defun nixvm-upgrade-preview (name)
  "Show what `nixvm-upgrade' of the machine NAME would change, and change nothing."
  (interactive (progn (nixvm--ensure)
                      (nixvm--need-method "nixvm/upgrade/preview")
                      (list (nixvm--target "Preview the upgrade of" "upgrade"))))
  (nixvm--begin "nixvm/upgrade/preview" (list :name name) (format "Preview the upgrade of %s" name)
                (lambda (seen) (nixvm--later #'nixvm--show-preview name seen))))

(defun nixvm--show-preview (name seen)
  "Show what the upgrade of the machine NAME would do; SEEN is its preview."
  (with-current-buffer (nixvm--buffer "*nixvm upgrade*")
    (nixvm-upgrade-preview-mode)
    (setq nixvm--preview-name name)
    (nixvm--doctor-insert (nixvm--preview-text name seen))
    (pop-to-buffer (current-buffer))))

(defun nixvm--preview-text (name seen)
  "The text of SEEN, the preview of the upgrade of the machine NAME."
  (if (nixvm--true (plist-get seen :same))
      (format "%s already has the image %s: an upgrade would change nothing.\n"
              name (plist-get (plist-get seen :current) :id))
    (concat
     (mapconcat (lambda (fact) (format "%-18s%s\n" (car fact) (cdr fact)))
                (cl-remove-if (lambda (fact) (member (cdr fact) '(nil ""))) (nixvm--preview-facts seen)) "")
     (mapconcat #'nixvm--package-line (plist-get seen :packages) "")
     (propertize (substitute-command-keys
                  (format "\n\\<nixvm-upgrade-preview-mode-map>\\[nixvm-upgrade-previewed] upgrades %s\n" name))
                 'face 'shadow))))

(defun nixvm--preview-facts (seen)
  "Return the facts in SEEN, a preview, as an alist of texts."
  (let ((next (plist-get seen :next)))
    `(("Current image" . ,(nixvm--image-name (plist-get seen :current)))
      ("Next image" . ,(concat (nixvm--image-name next)
                               (and (plist-get next :id) (not (nixvm--true (plist-get seen :built))) ", to be built")))
      ("New profiles" . ,(string-join (plist-get seen :added) ", "))
      ("Removed profiles" . ,(string-join (plist-get seen :removed) ", "))
      ("Takes effect" . ,(if (nixvm--true (plist-get seen :restarts)) "the guest is shut down and booted"
                           "at its next start"))
      ("/nix" . ,(and (nixvm--true (plist-get seen :losesNix))
                      "what was installed is removed if the image has another Nix store"))
      ("Packages" . ,(nixvm--packages-text seen)))))

(defun nixvm--image-name (image)
  "The id of IMAGE; a file has none before it is imported."
  (or (plist-get image :id) (format "%s, to be imported" (plist-get image :kind))))

(defun nixvm--packages-text (seen)
  "How many packages change according to SEEN, or why that is not known."
  (if-let ((reason (plist-get seen :notCompared)))
      (format "not compared: %s" reason)
    (let* ((all (append (plist-get seen :packages) nil))
           (new (cl-count-if-not (lambda (p) (plist-get p :before)) all))
           (removed (cl-count-if-not (lambda (p) (plist-get p :after)) all)))
      (format "%d changed, %d new, %d removed" (- (length all) new removed) new removed))))

(defun nixvm--package-line (package)
  "The line of PACKAGE, a change."
  (let ((before (string-join (plist-get package :before) ", "))
        (after (string-join (plist-get package :after) ", ")))
    (format "  %s %s\n" (plist-get package :name)
            (cond ((string-empty-p before) (concat after " (new)"))
                  ((string-empty-p after) (concat before " (removed)"))
                  (t (concat before " -> " after))))))

(defun nixvm-upgrade-previewed ()
  "Upgrade the machine whose preview this is."
  (interactive nil nixvm-upgrade-preview-mode)
  (let ((name nixvm--preview-name))
    (nixvm-upgrade name (nixvm--confirm-image (nixvm-machine name) (format "%s gets a new image" name)))))

;;;; All machines

;;;###autoload
(defun nixvm-upgrade-all (machines &optional keep-going)
  "Upgrade MACHINES, each to the current image for its profiles, one after another.
Interactively all that can be upgraded now, by name.  Stop at the first failure;
with a prefix argument (non-nil KEEP-GOING) continue after it."
  (interactive
   (let ((all (nixvm--upgradable)))
     (nixvm--confirm-all all)
     (list all current-prefix-arg)))
  (nixvm--upgrade-next machines keep-going 0 (length machines)))

(defun nixvm--upgradable ()
  "The machines that can be upgraded now, by name."
  (nixvm--ensure)
  (nixvm--verb "upgrade")
  (or (sort (cl-remove-if-not (lambda (m) (nixvm--can-p "upgrade" m)) (hash-table-values nixvm--machines))
            (lambda (a b) (string< (plist-get a :name) (plist-get b :name))))
      (user-error "No VM can be upgraded now")))

(defun nixvm--confirm-all (machines)
  "Ask whether MACHINES get new images."
  (cl-flet ((names (test) (mapconcat (lambda (m) (plist-get m :name)) (cl-remove-if-not test machines) ", ")))
    (let ((up (names #'nixvm--up-p))
          (semi (names (lambda (m) (equal (plist-get m :mode) "semi-mutable")))))
      (unless (yes-or-no-p
               (concat (format "%s get new images, and keep their data.  " (names #'identity))
                       (unless (string-empty-p up)
                         (format "Shut down and started again, one after another: %s.  " up))
                       (unless (string-empty-p semi)
                         (format "What was installed into /nix is removed if the image has another Nix store: %s.  " semi))
                       "Continue? "))
        (keyboard-quit)))))

(defun nixvm--upgrade-next (machines keep-going done all)
  "Upgrade the first of MACHINES, then the others; KEEP-GOING after failures.
DONE of ALL have been upgraded."
  (if-let ((machine (car machines)))
      (let ((name (plist-get machine :name)))
        (nixvm--begin
         "nixvm/vm/upgrade"
         (append (list :name name) (and (equal (plist-get machine :mode) "semi-mutable") (list :confirm name)))
         (format "Upgrade %s" name)
         (lambda (_) (nixvm--later #'nixvm--upgrade-next (cdr machines) keep-going (1+ done) all))
         (lambda (err)
           (nixvm--later #'nixvm--upgrade-next
                         (and keep-going (not (member (plist-get err :code) '("operation.cancelled" "daemon.gone")))
                              (cdr machines))
                         keep-going done all))))
    (message "Upgraded %d of %d VMs" done all)))

(defun nixvm--read-generation (name)
  "Ask for a generation of the machine NAME to return to; return its number."
  (let* ((all (append (plist-get (nixvm--call "nixvm/generation/list" (list :name name)) :generations) nil))
         (former (reverse (cl-remove-if (lambda (g) (or (nixvm--true (plist-get g :current))
                                                        (nixvm--true (plist-get g :missing))))
                                        all)))
         (numbers (or (mapcar (lambda (g) (number-to-string (plist-get g :number))) former)
                      (user-error "%s has no former image to return to" name)))
         (completion-extra-properties
          (list :annotation-function
                (lambda (number)
                  (when-let ((g (cl-find (string-to-number number) former
                                         :key (lambda (g) (plist-get g :number)))))
                    (concat "  " (nixvm--when (plist-get g :since)) "  "
                            (plist-get (plist-get g :image) :id) "  "
                            (mapconcat #'identity (plist-get g :profiles) ","))))))
         (chosen (completing-read (format-prompt "Generation of %s to return to" (car numbers) name)
                                  numbers nil t nil nil (car numbers))))
    (string-to-number chosen)))

;;;###autoload
(defun nixvm-rollback (name generation &optional params)
  "Return the machine NAME to the image of one of its generations.
GENERATION is its number; PARAMS are further ones of the request."
  (interactive
   (let* ((name (nixvm--target "Roll back" "rollback"))
          (generation (nixvm--read-generation name)))
     (list name generation
           (nixvm--confirm-image (nixvm-machine name)
                                 (format "%s returns to generation %d" name generation)))))
  (nixvm--begin "nixvm/vm/rollback" (append (list :name name :generation generation) params)
                (format "Roll back %s" name)
                (apply-partially #'nixvm--imaged name)))

(provide 'nixvm-upgrade)
;;; nixvm-upgrade.el ends here
