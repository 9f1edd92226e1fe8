;;; nixvm-upgrade.el --- New images for existing machines  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; The upgrade of a machine to another image, and the way back.

;;; Code:

(require 'nixvm)

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
and checked; it returns to its former image if the guest does not work."
  (interactive
   (let ((name (nixvm--target "Upgrade" "upgrade")))
     (list name (nixvm--confirm-image (nixvm-machine name) (format "%s gets a new image" name)))))
  (nixvm--begin "nixvm/vm/upgrade" (append (list :name name) params) (format "Upgrade %s" name)
                (apply-partially #'nixvm--imaged name)))

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
