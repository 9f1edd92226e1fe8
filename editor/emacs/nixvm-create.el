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
  "The settings that `nixvm-create' prompts for, besides the name.
The others take their values from `nixvm-create-defaults'.  With a prefix
argument, the image, the mode and PCI devices are asked for too."
  :type '(set (const profiles) (const image) (const mode) (const memory) (const vcpus)
              (const disk) (const network) (const backend) (const pci))
  :group 'nixvm)

(defcustom nixvm-create-defaults
  '(:profiles ("claude" "dev") :memory "4G" :vcpus 2 :disk "20G")
  "The answers offered the first time.
A plist of :profiles, :image, :mode, :memory, :vcpus, :disk, :network, :backend."
  :type 'plist
  :group 'nixvm)

(defcustom nixvm-create-file (locate-user-emacs-file "nixvm-create.eld")
  "File that stores the last answers; nil means that they are not stored."
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

(defvar nixvm--create-attempt nil
  "Answers whose machine has not been created yet, a plist, or nil.
The next `nixvm-create' offers them again, including the answers given before
the command was quit.")

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
  (append nixvm--create-attempt nixvm--create-last))

(defun nixvm--create-remember (answers)
  "Keep ANSWERS, of which a machine has been made, for the next time.
A PCI device is for one machine, and is left out."
  (setq nixvm--create-last (nixvm--without :pci answers)
        nixvm--create-attempt nil)
  (when nixvm-create-file
    (ignore-errors
      (let ((print-length nil) (print-level nil))
        (with-temp-file nixvm-create-file
          (insert ";; The last answers to nixvm-create.  -*- lisp-data -*-\n")
          (prin1 nixvm--create-last (current-buffer)))))))

;;;; What the daemon says of an answer

(defconst nixvm--draft-fields
  '((:name . :name) (:profiles . :profiles) (:image . :image) (:mode . :mode)
    (:memory . :memoryMiB) (:vcpus . :vcpus) (:disk . :diskBytes)
    (:network . :network) (:backend . :backend) (:pci . :pciDevices))
  "Alist of (ANSWER . PARAM), for the answers that a daemon can check.")

(defconst nixvm--list-params
  '(:profiles :nameservers :hosts :tcpPorts :udpPorts :allowedCidrs :pciDevices
    :addKeys :removeKeys)
  "The params whose value is a list.")

(defun nixvm--draft (answers)
  "The draft of a request that ANSWERS make: texts, as they were typed."
  (cl-loop for (key . param) in nixvm--draft-fields
           for value = (plist-get answers key)
           unless (member value '(nil ""))
           append (list param (if (listp value) (vconcat value) (format "%s" value)))))

(defun nixvm--check (for draft)
  "Ask the daemon what is wrong with DRAFT, a request FOR something, by field."
  (plist-get (nixvm--call "nixvm/machine/check" (append (list :for for) draft)) :fields))

(defun nixvm--check-text (field)
  "The value of FIELD, of `nixvm--check', as text; nil if it has none."
  (let ((values (append (plist-get field :values) nil))
        (value (plist-get field :value)))
    (cond (values (string-join values ","))
          ((member value '(nil "")) nil)
          (t value))))

(defun nixvm--ask (for draft param read)
  "Call READ until the daemon takes its value as PARAM; return that value.
FOR and DRAFT are as in `nixvm--check': the rest of the request.  READ gets what
was typed before, and what is wrong with that, both nil at first."
  (let (typed complaint right)
    (while (not right)
      (setq typed (funcall read typed complaint))
      (let* ((value (if (memq param nixvm--list-params) (vconcat typed) ; nil is an answer to others, too
                      (format "%s" (or typed ""))))
             (fields (nixvm--check for (append (list param value) draft)))
             (problem (plist-get (plist-get fields param) :problem)))
        (if problem
            (setq complaint (nixvm--error-text problem))
          (setq right t))))
    typed))

(defun nixvm--prompt (prompt default complaint)
  "PROMPT with DEFAULT, after COMPLAINT of the answer before."
  (concat (and complaint (concat (propertize complaint 'face 'error) "\n"))
          (format-prompt prompt default)))

;;;; Questions

(defun nixvm--read-text (prompt default &optional typed problem)
  "Read a string with PROMPT and DEFAULT; return it without white space around.
TYPED is offered for editing, and PROBLEM is what is wrong with it."
  (string-trim (read-string (nixvm--prompt prompt default problem) typed nil
                            (and default (format "%s" default)))))

(defun nixvm--project-name ()
  "The name of the current project, or of the directory.
A directory that is not here is not looked into."
  (let ((root (or (and (not (file-remote-p default-directory))
                       (locate-dominating-file default-directory ".git"))
                  (file-local-name default-directory))))
    (file-name-nondirectory (directory-file-name root))))

(defun nixvm--free-name (text)
  "A name for a new machine, made of TEXT, that no other one has."
  (plist-get (nixvm--call "nixvm/machine/check"
                          (list :suggest (if (string-empty-p text) "agent" text)))
             :suggestion))

(defun nixvm--read-profiles (default &optional choices problem)
  "Ask for profiles; DEFAULT is a list.
Only CHOICES are offered unless it is nil.  PROBLEM is what was wrong before."
  (let* ((profiles (cl-remove-if-not
                    (lambda (p) (or (null choices) (member (plist-get p :name) choices)))
                    (append (plist-get (nixvm--call "nixvm/profile/list" nil) :profiles) nil)))
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
                 (nixvm--prompt "Profiles, separated by commas"
                                (and default (string-join default ",")) problem)
                 names nil t nil 'nixvm--profile-history (string-join default ","))))))

(defvar nixvm--profile-history nil "History of profiles.")

(defun nixvm--read-network (default backend &optional typed problem)
  "Ask for the network with DEFAULT, if BACKEND has a choice.
TYPED and PROBLEM are as in `nixvm--read-text'."
  (if (and backend (not (nixvm--true (plist-get (plist-get backend :capabilities) :bridge))))
      (or default "nat")
    (let* ((bridges (nixvm--bridges backend))
           (completion-extra-properties
            (list :annotation-function
                  (lambda (name) (alist-get name bridges nil nil #'equal)))))
      (completing-read
       (nixvm--prompt "Network: nat, or bridge:INTERFACE" default problem)
       (cons "nat" (mapcar #'car bridges)) nil nil typed nil default))))

(defun nixvm--bridges (backend)
  "The bridges of the host of BACKEND: networks, each with what is known of it.
Nil if the host does not list them: they are only suggestions."
  (mapcar (lambda (b)
            (cons (concat "bridge:" (plist-get b :name))
                  (concat "  " (string-join
                                (append (list (if (nixvm--true (plist-get b :up)) "up" "down"))
                                        (plist-get b :addresses)
                                        (and (plist-get b :ports)
                                             (list (concat "with " (string-join (plist-get b :ports)
                                                                                " ")))))
                                ", "))))
          (ignore-error user-error
            (plist-get (nixvm--call "nixvm/backend/bridges"
                                    (and backend (list :backend (plist-get backend :name))))
                       :bridges))))

(defun nixvm--pci-p (backend)
  "Whether BACKEND passes PCI devices of its host through to VMs."
  (nixvm--true (plist-get (plist-get backend :capabilities) :pciDevices)))

(defun nixvm--read-pci (default backend &optional problem)
  "Ask for PCI devices of the host of BACKEND; DEFAULT is a list.
PROBLEM is what was wrong before."
  (let* ((devices (ignore-error user-error
                    (append (plist-get (nixvm--call "nixvm/backend/pciDevices"
                                                    (and backend (list :backend (plist-get backend :name))))
                                       :devices)
                            nil)))
         (completion-extra-properties
          (list :annotation-function
                (lambda (address)
                  (when-let ((d (cl-find address devices :test #'equal
                                         :key (lambda (d) (plist-get d :address)))))
                    (format "  %s: %s%s" (plist-get d :class) (or (plist-get d :name) (plist-get d :id))
                            (cond ((plist-get d :usedBy) (concat ", used by " (plist-get d :usedBy)))
                                  ((plist-get d :problem) ", not ready")
                                  (t ""))))))))
    (delete-dups
     (remove "" (completing-read-multiple
                 (nixvm--prompt "PCI devices of the host, separated by commas; empty: none" nil problem)
                 (mapcar (lambda (d) (plist-get d :address)) devices)
                 nil nil (and default (string-join default ",")))))))

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
                                          (and (plist-get b :problem) "  (unavailable)"))))))
             (complete-with-action action names string pred)))
         nil t nil nil default)
      (car names))))

(defun nixvm--read-image (default &optional choices automatic problem)
  "Ask for the kind of image with DEFAULT; nil is what the daemon chooses.
That is AUTOMATIC, which may be nil.  CHOICES are the kinds that there are, and
PROBLEM is what was wrong before."
  (let* ((automatic (if automatic (format "automatic (%s)" automatic) "automatic"))
         (image (completing-read
                 (nixvm--prompt "Image: nixos, trial or a file" (or default automatic) problem)
                 (cons automatic (or choices '("nixos" "trial"))) nil nil nil nil
                 (or default automatic))))
    (unless (member image (list "automatic" automatic)) image)))

(defun nixvm--read-mode (default &optional choices problem)
  "Ask for the mode of an image with DEFAULT.
CHOICES are the modes that there are; PROBLEM is what was wrong before."
  (completing-read (nixvm--prompt "Mode" (or default "immutable") problem)
                   (or choices '("immutable" "semi-mutable" "mutable")) nil t nil nil
                   (or default "immutable")))

(defun nixvm--read-answer (key default field answers typed problem)
  "Ask for the answer KEY with DEFAULT.
FIELD is what the daemon says of it beforehand, nil if nothing; ANSWERS are
those so far.  TYPED and PROBLEM are as in `nixvm--read-text'."
  (let ((choices (append (plist-get field :choices) nil)))
    (pcase key
      (:backend (nixvm--read-backend default))
      (:profiles (nixvm--read-profiles (or typed default) choices problem))
      (:image (nixvm--read-image (or typed default) choices
                                 (and (eq (plist-get field :default) t) (plist-get field :value))
                                 problem))
      (:mode (nixvm--read-mode default choices problem))
      (:memory (nixvm--read-text "Memory" default typed problem))
      (:vcpus (nixvm--read-text "CPUs" default (and typed (format "%s" typed)) problem))
      (:disk (nixvm--read-text "Disk" default typed problem))
      (:network (nixvm--read-network default (nixvm--backend (plist-get answers :backend))
                                     typed problem))
      (:pci (nixvm--read-pci (or typed default) (nixvm--backend (plist-get answers :backend))
                             problem)))))

(defun nixvm--ask-answer (for key answers)
  "Ask for KEY of a request FOR something; return ANSWERS with it.
What it was before is the default if it is right, else what the daemon takes."
  (let* ((param (alist-get key nixvm--draft-fields))
         (draft (nixvm--draft answers))
         (field (plist-get (nixvm--check for draft) param))
         (default (plist-get answers key))
         (instead (and (or (null default) (plist-get field :problem))
                       (nixvm--check-text
                        (if default
                            (plist-get (nixvm--check for (nixvm--without param draft)) param)
                          field)))))
    (when instead
      (setq default (pcase key
                      ((or :profiles :pci) (split-string instead "," t))
                      (:image nil) ; "automatic" says it
                      (_ instead))))
    (let ((rest (nixvm--without param draft)))
      (plist-put (copy-sequence answers) key
                 (nixvm--ask for rest param
                             (lambda (typed problem)
                               (nixvm--read-answer key default field answers
                                                   typed problem)))))))

(defun nixvm--without (key plist)
  "PLIST without KEY."
  (cl-loop for (k value) on plist by #'cddr
           unless (eq k key) append (list k value)))

(defun nixvm--ask-name (default)
  "Ask for the name of a new machine, with DEFAULT."
  (nixvm--ask "create" nil :name
              (apply-partially #'nixvm--read-text "Name of the new machine" default)))

(defun nixvm--create-ask (name)
  "Ask all questions about the new machine NAME; return the answers as a plist.
The answers given so far are kept if the rest is quit."
  (let* ((answers (append (list :name name) (nixvm--create-defaults)))
         (questions (append (and current-prefix-arg '(image mode pci)) nixvm-create-questions)))
    (pcase-dolist (`(,question . ,key)
                   '((backend . :backend) (image . :image) (profiles . :profiles) (mode . :mode)
                     (memory . :memory) (vcpus . :vcpus) (disk . :disk) (network . :network)
                     (pci . :pci)))
      (when (and (memq question questions)
                 (or (not (eq question 'pci))
                     (nixvm--pci-p (nixvm--backend (plist-get answers :backend)))))
        (setq answers (nixvm--ask-answer "create" key answers)
              nixvm--create-attempt (nixvm--without :name answers))))
    (nixvm--answers answers)))

(defun nixvm--answers (answers)
  "ANSWERS with each key once, and without the name."
  (cl-loop for (key . _) in (cdr nixvm--draft-fields)
           when (plist-member answers key) append (list key (plist-get answers key))))

(defun nixvm--given (params)
  "PARAMS without those whose value is nil or empty."
  (cl-loop for (key value) on params by #'cddr
           unless (member value '(nil "" []))
           append (list key value)))

(defun nixvm--numbers (for draft answers)
  "The params :memoryMiB, :vcpus and :diskBytes for ANSWERS.
The daemon reads them; FOR and DRAFT are the rest of the request."
  (let ((fields (nixvm--check for (append (nixvm--draft answers) draft))))
    (cl-loop for (key param) in '((:memory :memoryMiB) (:vcpus :vcpus) (:disk :diskBytes))
             append (list param (and (plist-get answers key)
                                     (plist-get (plist-get fields param) :number))))))

(defun nixvm--create-params (name answers)
  "The params of nixvm/vm/create for the machine NAME and ANSWERS."
  (nixvm--given
   (append (list :name name
                 :profiles (vconcat (plist-get answers :profiles))
                 :image (plist-get answers :image)
                 :mode (plist-get answers :mode))
           (nixvm--numbers "create" (list :name name) answers)
           (list :network (plist-get answers :network)
                 :backend (plist-get answers :backend)
                 :pciDevices (vconcat (plist-get answers :pci))))))

(defun nixvm--created (name result)
  "Run the hooks for the new machine NAME, which is up according to RESULT."
  (run-hook-with-args 'nixvm-after-create-functions
                      (or (plist-get result :vm) (nixvm-machine name)))
  (when nixvm-attach-after-create
    (nixvm--attach name nixvm-attach-function)))

;;;###autoload
(defun nixvm-create (name answers)
  "Create the machine NAME from ANSWERS, and attach to it when it is ready.
Interactively, ask for both; the answers of the last machine are the defaults.
The daemon checks each as it is typed.  With a prefix argument ask for the image
and the mode too.  ANSWERS is a plist as in `nixvm-create-defaults'.

The machine is created in the background.  \\[keyboard-quit] as the very next key
cancels that and leaves nothing behind, and so does \\[nixvm-cancel]."
  (interactive (progn (nixvm--ensure)
                      (let ((name (nixvm--ask-name (nixvm--free-name (nixvm--project-name)))))
                        (list name (nixvm--create-ask name)))))
  (setq nixvm--create-attempt answers)
  (nixvm--begin
   "nixvm/vm/create" (nixvm--create-params name answers) (format "Create %s" name)
   (lambda (result)
     (nixvm--create-remember answers)
     (nixvm--created name result))))

;;;###autoload
(defun nixvm-declare (name answers)
  "Write the directory of the machine NAME from ANSWERS, and make no VM.
\\[nixvm-create] of that name, or \\[nixvm-start], makes it later.  The questions
are those of `nixvm-create'."
  (interactive (progn (nixvm--ensure)
                      (let ((name (nixvm--ask-name (nixvm--free-name (nixvm--project-name)))))
                        (list name (nixvm--create-ask name)))))
  (nixvm--begin
   "nixvm/vm/create" (append (nixvm--create-params name answers) (list :declare t))
   (format "Declare %s" name)
   (lambda (_)
     (nixvm--create-remember answers)
     (message "%s is declared, and has no VM yet" name))))

(provide 'nixvm-create)
;;; nixvm-create.el ends here
