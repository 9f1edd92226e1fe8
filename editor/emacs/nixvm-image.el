;;; nixvm-image.el --- The images that machines are made from  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; Images are built when a machine needs one.  Here they can be built
;; beforehand, and those that no machine needs any more be removed.

;;; Code:

(require 'nixvm-create)
(require 'nixvm-table)

(defvar nixvm-images-mode-map
  (let ((map (make-sparse-keymap)))
    (set-keymap-parent map tabulated-list-mode-map)
    (define-key map "B" #'nixvm-image-build)
    (define-key map "+" #'nixvm-image-build)
    (define-key map "X" #'nixvm-image-gc)
    (define-key map "w" #'nixvm-images-copy-id)
    map)
  "Keymap of `nixvm-images-mode'.")

(define-derived-mode nixvm-images-mode tabulated-list-mode "nixvm images"
  "The images in the store of nixvmd, and the machines that use them.

\\{nixvm-images-mode-map}"
  :interactive nil
  (nixvm--table-init [("Profiles" 28 t) ("Distro" 8 t) ("Mode" 13 t)
                      ("Size" 9 nixvm--table-smaller-p) ("Built" 17 t) ("Machines" 30 t)]
                     '("Built" . t)
                     :method "nixvm/image/list" :field :images :entry #'nixvm--image-entry))

(defun nixvm--image-size (&rest images)
  "The size of IMAGES, formatted for display."
  (nixvm--size (max 1 (/ (apply #'+ (mapcar (lambda (i) (plist-get i :bytes)) images)) 1048576))))

(defun nixvm--image-entry (image)
  "The row of IMAGE."
  (let ((machines (plist-get image :machines)))
    (list image
          (vector (if (equal (plist-get image :profiles) []) "no profiles"
                    (string-join (plist-get image :profiles) ","))
                  (plist-get image :distro)
                  (plist-get image :mode)
                  (nixvm--image-size image)
                  (nixvm--table-time (plist-get image :built))
                  (if (equal machines []) (propertize "none" 'face 'shadow)
                    (string-join machines ","))))))

;;;###autoload
(defun nixvm-images ()
  "Show the images in the store, and the machines that use them."
  (interactive)
  (nixvm--ensure)
  (nixvm--need-method "nixvm/image/list")
  (nixvm--table-show "*nixvm images*" #'nixvm-images-mode))

(defun nixvm-images-copy-id ()
  "Copy the id of the image at point."
  (interactive nil nixvm-images-mode)
  (let ((id (plist-get (nixvm--table-row "image") :id)))
    (kill-new id)
    (message "Copied: %s" id)))

;;;###autoload
(defun nixvm-image-build (profiles &optional image mode)
  "Build the image with PROFILES in advance, so that creating a machine is faster.
An existing image is not built again.  With a prefix argument ask for
the kind of IMAGE and the MODE too."
  (interactive
   (progn
     (nixvm--ensure)
     (nixvm--need-method "nixvm/image/build")
     (let* ((last (nixvm--create-defaults))
            (answers (list :profiles (plist-get last :profiles) :image (plist-get last :image)
                           :mode (plist-get last :mode))))
       (dolist (key (if current-prefix-arg '(:image :profiles :mode) '(:profiles)))
         (setq answers (nixvm--ask-answer "image" key answers)))
       (mapcar (lambda (key) (plist-get answers key)) '(:profiles :image :mode)))))
  (nixvm--begin "nixvm/image/build"
                (nixvm--given (list :profiles (vconcat profiles) :image image :mode mode))
                (format "Build image %s" (string-join profiles ","))
                (lambda (result)
                  (nixvm--table-refresh "*nixvm images*")
                  (message "The image %s is ready"
                           (plist-get (plist-get result :operation) :image)))))

(defun nixvm--images-going (result)
  "The images that RESULT of a collection lists as removed or removable."
  (cl-remove-if (lambda (image) (plist-get image :kept)) (append (plist-get result :images) nil)))

(defun nixvm--disks-going (result)
  "The former disks that RESULT of a collection lists as removed or removable."
  (cl-remove-if (lambda (disks) (plist-get disks :kept)) (append (plist-get result :disks) nil)))

(defun nixvm--images-text (images &optional disks)
  "How many IMAGES there are, and their size.
The same for DISKS that machines had before they were recreated."
  (string-join
   (delq nil
         (list (when (or images (not disks))
                 (format "%d image%s, %s" (length images) (if (= 1 (length images)) "" "s")
                         (apply #'nixvm--image-size images)))
               (when disks
                 (format "the former disks of %s, %s"
                         (string-join (delete-dups (mapcar (lambda (d) (plist-get d :machine)) disks))
                                      ", ")
                         (apply #'nixvm--image-size disks)))))
   ", and "))

;;;###autoload
(defun nixvm-image-gc (&optional all)
  "Remove unused images, and the disks that machines had before `nixvm-recreate'.
Unused are outdated, imported and broken images.
With a prefix argument, or ALL non-nil, also up-to-date images, which a later
create would have to build again.  Interactively, ask first."
  (interactive
   (progn
     (nixvm--ensure)
     (nixvm--need-method "nixvm/image/gc")
     (let* ((result (nixvm--call "nixvm/image/gc" (list :dryRun t :disks t
                                                        :all (if current-prefix-arg t :json-false))))
            (going (nixvm--images-going result))
            (disks (nixvm--disks-going result)))
       (unless (or going disks)
         (user-error "%s"
                     (if current-prefix-arg "All images are used by machines"
                       "No image is outdated; with a prefix argument all unused images are removed")))
       (unless (yes-or-no-p
                (format "No machine is affected%s.  Remove %s? "
                        (if current-prefix-arg "; creating a machine that needs one of these builds it again" "")
                        (nixvm--images-text going disks)))
         (keyboard-quit))
       (list current-prefix-arg))))
  (nixvm--async "nixvm/image/gc" (list :disks t :all (if all t :json-false))
                (lambda (result)
                  (nixvm--table-refresh "*nixvm images*")
                  (message "Removed %s" (nixvm--images-text (nixvm--images-going result)
                                                            (nixvm--disks-going result))))
                (lambda (err) (nixvm--show-error err "Remove images"))))

(provide 'nixvm-image)
;;; nixvm-image.el ends here
