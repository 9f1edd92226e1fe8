;;; nixvm-create.el --- Make a machine, step by step  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; `nixvm-create' asks for what a machine is made of.  Every question has the
;; answer of last time as its default, so that RET all the way makes another
;; one like the last.

;;; Code:

(require 'nixvm-attach)
(require 'crm)

(defcustom nixvm-create-questions '(profiles memory vcpus disk network backend)
  "What `nixvm-create' asks for, besides the name.
What is not asked for takes the value of `nixvm-create-defaults'."
  :type '(set (const profiles) (const image) (const mode) (const memory) (const vcpus)
              (const disk) (const network) (const backend))
  :group 'nixvm)

(defcustom nixvm-create-defaults
  '(:profiles ("claude" "dev") :memory "4G" :vcpus 2 :disk "20G" :network "nat")
  "The answers that are offered the first time.
A plist of :profiles, :image, :mode, :memory, :vcpus, :disk, :network, :backend."
  :type 'plist
  :group 'nixvm)

(defcustom nixvm-create-file (locate-user-emacs-file "nixvm-create.eld")
  "Where the last answers are kept; nil means nowhere."
  :type '(choice (const :tag "Nowhere" nil) file)
  :group 'nixvm)

(defcustom nixvm-attach-after-create t
  "Whether to attach to a new machine as soon as it is ready."
  :type 'boolean
  :group 'nixvm)

(defcustom nixvm-after-create-functions nil
  "Functions called with the machine after it has been created."
  :type 'hook
  :group 'nixvm)

(defvar nixvm--create-last nil "The last answers, a plist; t means not read yet.")

(defconst nixvm--name-regexp "\\`[a-z0-9]\\(?:[a-z0-9-]\\{0,61\\}[a-z0-9]\\)?\\'"
  "What the name of a machine looks like.")

;;;; Remembering

(defun nixvm--create-defaults ()
  "The answers to offer: those of last time, else the configured ones."
  (unless nixvm--create-last
    (setq nixvm--create-last
          (or (and nixvm-create-file (file-readable-p nixvm-create-file)
                   (ignore-errors
                     (with-temp-buffer
                       (insert-file-contents nixvm-create-file)
                       (read (current-buffer)))))
              nixvm-create-defaults)))
  nixvm--create-last)

(defun nixvm--create-remember (answers)
  "Keep ANSWERS for the next time."
  (setq nixvm--create-last answers)
  (when nixvm-create-file
    (ignore-errors
      (let ((print-length nil) (print-level nil))
        (with-temp-file nixvm-create-file
          (insert ";; The last answers to nixvm-create.  -*- lisp-data -*-\n")
          (prin1 answers (current-buffer)))))))

;;;; Questions

(defun nixvm--read-checked (prompt default check &optional complaint)
  "Read a string with PROMPT and DEFAULT until CHECK accepts it; return that.
CHECK gets the string; what it returns is returned, nil means that it is wrong
and COMPLAINT says why."
  (let ((text (read-string (format-prompt prompt default) nil nil
                           (and default (format "%s" default))))
        value)
    (while (not (setq value (funcall check text)))
      (setq text (read-string (concat (propertize (or complaint "No") 'face 'error) "  "
                                      (format-prompt prompt default))
                              text nil (and default (format "%s" default)))))
    value))

(defun nixvm--read-name (prompt default taken)
  "Ask with PROMPT and DEFAULT for the name of a new machine.
TAKEN says of a name whether it is in use."
  (nixvm--read-checked
   prompt default
   (lambda (text)
     (let ((name (string-trim text))
           (case-fold-search nil))
       (and (string-match-p nixvm--name-regexp name)
            (not (funcall taken name))
            name)))
   "Use a-z, 0-9 and -, at most 63, and no name that is taken."))

(defun nixvm--taken-p (name)
  "Whether there is a machine NAME that is more than declared."
  (when-let ((machine (nixvm-machine name)))
    (not (equal (plist-get machine :state) "absent"))))

(defun nixvm--project-name ()
  "The name of the current project as that of a machine, or \"agent\".
A directory that is not here is not looked into."
  (let* ((root (or (and (not (file-remote-p default-directory))
                        (locate-dominating-file default-directory ".git"))
                   (file-local-name default-directory)))
         (base (replace-regexp-in-string
                "\\`-+\\|-+\\'" ""
                (replace-regexp-in-string
                 "[^a-z0-9]+" "-"
                 (downcase (file-name-nondirectory (directory-file-name root)))))))
    (if (or (string-empty-p base) (> (length base) 40)) "agent" base)))

(defun nixvm--free-name (base)
  "A name that is free: BASE, or BASE with a number."
  (let ((name base) (n 1))
    (while (nixvm-machine name)
      (setq name (format "%s-%d" base (cl-incf n))))
    name))

(defun nixvm--read-profiles (default)
  "Ask for profiles; DEFAULT is a list."
  (let* ((profiles (append (plist-get (nixvm--call "nixvm/profile/list" nil) :profiles) nil))
         (names (mapcar (lambda (p) (plist-get p :name)) profiles))
         (default (cl-remove-if-not (lambda (name) (member name names)) default))
         (completion-extra-properties
          (list :annotation-function
                (lambda (name)
                  (let ((p (cl-find name profiles :key (lambda (p) (plist-get p :name))
                                    :test #'equal)))
                    (concat "  " (plist-get p :description)
                            (and (nixvm--true (plist-get p :agent)) "  [agent]")))))))
    (delete-dups
     (remove "" (completing-read-multiple
                 (format-prompt "Profiles, with commas between"
                                (and default (string-join default ",")))
                 names nil t nil 'nixvm--profile-history (string-join default ","))))))

(defvar nixvm--profile-history nil "History of profiles.")

(defun nixvm--read-network (default backend)
  "Ask for the network with DEFAULT, if BACKEND has a choice."
  (if (and backend (not (nixvm--true (plist-get (plist-get backend :capabilities) :bridge))))
      "nat"
    (let ((choice (completing-read
                   (format-prompt "Network: nat, or bridge:INTERFACE" default)
                   (cons "nat" (mapcar (lambda (i) (concat "bridge:" i)) (nixvm--interfaces)))
                   nil nil nil nil default)))
      (if (string-match-p "\\`\\(nat\\|bridge:[^[:space:]]+\\)\\'" choice)
          choice
        (user-error "%S is neither nat nor bridge:INTERFACE" choice)))))

(defun nixvm--interfaces ()
  "The bridges of this machine."
  (cl-remove-if-not
   (lambda (name) (string-match-p "\\`\\(br\\|virbr\\|vmbr\\|lxdbr\\)" name))
   (delete-dups (mapcar #'car (ignore-errors (network-interface-list))))))

(defun nixvm--read-backend (default)
  "Ask for the backend with DEFAULT if there is more than one."
  (let ((names (mapcar (lambda (b) (plist-get b :name)) (nixvm--backends)))
        (default (or default (plist-get (nixvm--backend nil) :name))))
    (if (cdr names)
        (completing-read
         (format-prompt "Backend" default)
         (lambda (string pred action)
           (if (eq action 'metadata)
               `(metadata (annotation-function
                           . ,(lambda (name)
                                (let ((b (nixvm--backend name)))
                                  (concat "  " (plist-get b :type)
                                          (and (plist-get b :problem) "  (does not work)"))))))
             (complete-with-action action names string pred)))
         nil t nil nil default)
      (car names))))

(defun nixvm--read-image (default)
  "Ask for the kind of image with DEFAULT; nil is what the daemon chooses."
  (let ((image (completing-read
                (format-prompt "Image: nixos, trial or a file" (or default "automatic"))
                '("automatic" "nixos" "trial") nil nil nil nil (or default "automatic"))))
    (unless (equal image "automatic") image)))

(defun nixvm--read-mode (default)
  "Ask for the mode of an image with DEFAULT."
  (completing-read (format-prompt "Mode" (or default "immutable"))
                   '("immutable" "semi-mutable" "mutable") nil t nil nil (or default "immutable")))

(defun nixvm--read-size (prompt default)
  "Ask for a size with PROMPT and DEFAULT; return it as it was written."
  (nixvm--read-checked prompt default
                       (lambda (text) (and (nixvm--parse-size text) (string-trim text)))
                       "A size is 512M or 20G."))

(defun nixvm--read-vcpus (default)
  "Ask for a number of CPUs with DEFAULT."
  (nixvm--read-checked "CPUs" default
                       (lambda (text) (and (string-match-p "\\`[1-9][0-9]*\\'" (string-trim text))
                                           (string-to-number text)))
                       "A number of CPUs, please."))

(defun nixvm--create-ask ()
  "Ask all questions; return the answers as a plist."
  (let* ((last (nixvm--create-defaults))
         (answers (copy-sequence last))
         (questions (append (and current-prefix-arg '(image mode)) nixvm-create-questions)))
    (cl-flet ((asked (key question value)
                (when (memq question questions)
                  (setq answers (plist-put answers key (funcall value (plist-get last key)))))))
      (asked :backend 'backend #'nixvm--read-backend)
      (asked :profiles 'profiles #'nixvm--read-profiles)
      (asked :image 'image #'nixvm--read-image)
      (asked :mode 'mode #'nixvm--read-mode)
      (asked :memory 'memory (apply-partially #'nixvm--read-size "Memory"))
      (asked :vcpus 'vcpus #'nixvm--read-vcpus)
      (asked :disk 'disk (apply-partially #'nixvm--read-size "Disk"))
      (asked :network 'network
             (lambda (default)
               (nixvm--read-network default (nixvm--backend (plist-get answers :backend))))))
    answers))

(defun nixvm--size-params (answers)
  "The params :memoryMiB, :vcpus and :diskBytes for the plist ANSWERS."
  (list :memoryMiB (nixvm--parse-size (or (plist-get answers :memory) ""))
        :vcpus (plist-get answers :vcpus)
        :diskBytes (when-let ((mib (nixvm--parse-size (or (plist-get answers :disk) ""))))
                     (* mib 1048576))))

(defun nixvm--given (params)
  "PARAMS without those whose value is nil or empty."
  (cl-loop for (key value) on params by #'cddr
           unless (member value '(nil "" []))
           append (list key value)))

(defun nixvm--create-params (name answers)
  "The params of nixvm/vm/create for the machine NAME and ANSWERS."
  (nixvm--given
   (append (list :name name
                 :profiles (vconcat (plist-get answers :profiles))
                 :image (plist-get answers :image)
                 :mode (plist-get answers :mode))
           (nixvm--size-params answers)
           (list :network (plist-get answers :network)
                 :backend (plist-get answers :backend)))))

(defun nixvm--created (name result)
  "Run what follows when the machine NAME is new and up according to RESULT."
  (run-hook-with-args 'nixvm-after-create-functions
                      (or (plist-get result :vm) (nixvm-machine name)))
  (when nixvm-attach-after-create
    (nixvm--attach name nixvm-attach-function)))

;;;###autoload
(defun nixvm-create (name answers)
  "Create the machine NAME from ANSWERS, and attach to it when it is ready.
Interactively, ask for both; the answers of last time are the defaults.  With a
prefix argument ask for the image and the mode too.  ANSWERS is a plist as in
`nixvm-create-defaults'.

The machine is made in the background.  \\[keyboard-quit] as the very next key
cancels that and leaves nothing behind, and so does \\[nixvm-cancel]."
  (interactive (progn (nixvm--ensure)
                      (list (nixvm--read-name "Name of the new machine"
                                              (nixvm--free-name (nixvm--project-name))
                                              #'nixvm--taken-p)
                            (nixvm--create-ask))))
  (nixvm--create-remember answers)
  (nixvm--begin
   "nixvm/vm/create" (nixvm--create-params name answers) (format "Create %s" name)
   (apply-partially #'nixvm--created name)))

(provide 'nixvm-create)
;;; nixvm-create.el ends here
