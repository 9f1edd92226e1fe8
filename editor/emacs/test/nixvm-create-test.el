;;; nixvm-create-test.el --- The questions of create  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Code:

(require 'ert)
(require 'nixvm-fake)

(defun nixvm-create-test-result (params)
  "The answer to a create with PARAMS that succeeds."
  (list :operation '(:id "1" :state "succeeded")
        :vm (nixvm-fake-machine (plist-get params :name))))

(ert-deftest nixvm-create-asks-and-remembers ()
  (nixvm-fake-with nil
    (nixvm-fake-on "nixvm/vm/create" (lambda (params &rest _) (nixvm-create-test-result params)))
    (let* ((file (make-temp-file "nixvm"))
           (nixvm-create-file file) created
           (nixvm-after-create-functions (list (lambda (m) (setq created m)))))
      (unwind-protect
          (progn
            (nixvm-fake-typing '("my-agent" "claude,dev" "2G" "3" "10G")
              (call-interactively #'nixvm-create))
            (nixvm-fake-wait created)
            (should (equal (plist-get created :name) "my-agent"))
            (let ((params (nixvm-fake-params "nixvm/vm/create")))
              (should (equal (plist-get params :name) "my-agent"))
              (should (equal (plist-get params :profiles) ["claude" "dev"]))
              (should (equal (plist-get params :memoryMiB) 2048))
              (should (equal (plist-get params :vcpus) 3))
              (should (equal (plist-get params :diskBytes) 10737418240))
              (should (equal (plist-get params :network) "nat"))
              (should (equal (plist-get params :backend) "laptop")))
            ;; The next one is like the last, RET all the way, in a new Emacs.
            (setq nixvm--create-last nil created nil)
            (nixvm-fake-typing '("second" "" "" "" "")
              (call-interactively #'nixvm-create))
            (nixvm-fake-wait created)
            (let ((params (nixvm-fake-params "nixvm/vm/create")))
              (should (equal (plist-get params :name) "second"))
              (should (equal (plist-get params :memoryMiB) 2048))
              (should (equal (plist-get params :vcpus) 3))))
        (delete-file file)))))

(ert-deftest nixvm-declare-makes-no-vm ()
  (nixvm-fake-with nil
    (nixvm-fake-on "nixvm/vm/create" (lambda (&rest _) '(:operation (:id "1" :state "succeeded"))))
    (let* ((nixvm-create-file nil) (created nil)
          (nixvm-after-create-functions (list (lambda (m) (setq created m)))))
      (should (member "later is declared, and has no VM yet"
                      (nixvm-fake-messages
                        (nixvm-fake-typing '("later" "claude" "2G" "3" "10G")
                          (call-interactively #'nixvm-declare))
                        (nixvm-fake-wait (nixvm-fake-received-p "nixvm/vm/create"))
                        (nixvm--call "nixvm/profile/list" nil))))
      (should (eq (plist-get (nixvm-fake-params "nixvm/vm/create") :declare) t))
      (should-not created))))

(defun nixvm-create-test-size (text least unit)
  "What a daemon says of the size TEXT, which must be LEAST at least.
UNIT is what a bare number means, in bytes or MiB."
  (let ((n (string-to-number text)))
    (cond ((member text '("" nil)) (list :ok t :value "2G" :number (* 2 unit) :default t))
          ((not (string-match-p "\\`[0-9]+G?\\'" text))
           (list :ok :json-false :problem (list :code "size.invalid" :message (format "%S is no size" text)
                                                :retryable :json-false)))
          ((and (not (string-suffix-p "G" text)) (< n least))
           (list :ok :json-false
                 :problem (list :code "size.invalid" :message (format "%S is too little" text)
                                :hint "write 4G for 4 GiB" :retryable :json-false)))
          (t (list :ok t :value (format "%dG" n) :number (* n unit))))))

(defun nixvm-create-test-check (params &rest _)
  "What a daemon says of PARAMS, a draft."
  (cl-flet ((wrong (text) (list :ok :json-false :problem (list :code "x" :message text :retryable :json-false))))
    (let ((profiles (append (plist-get params :profiles) nil))
          (name (or (plist-get params :name) "")))
      (list :ok t
            :fields
            (list :name (if (equal name "localhost") (wrong "localhost is this computer")
                          (list :ok t :value name))
                  :snapshot (if (equal (plist-get params :snapshot) "bad name")
                                (wrong "a name has no blanks")
                              (list :ok t))
                  :forward (if (equal (plist-get params :forward) "80 localhost:80")
                               (wrong "80 is below 1024")
                             (list :ok t))
                  :image (list :ok t :value "trial" :default t :choices ["trial"])
                  :profiles (append (if (member "gone" profiles) (wrong "there is no profile gone")
                                      (list :ok t :values (if profiles (vconcat profiles) ["dev"])))
                                    '(:choices ["claude" "dev"]))
                  :memoryMiB (nixvm-create-test-size (or (plist-get params :memoryMiB) "") 128 1024)
                  :diskBytes (nixvm-create-test-size (or (plist-get params :diskBytes) "") 1 1073741824)
                  :vcpus (let ((text (or (plist-get params :vcpus) "2")))
                           (if (string-match-p "\\`[1-8]\\'" text)
                               (list :ok t :value text :number (string-to-number text))
                             (wrong "this computer has 8 CPUs")))
                  :network '(:ok t :value "nat") :backend '(:ok t :value "laptop")
                  :mode '(:ok t :value "immutable"))))))

(defmacro nixvm-create-test-with (&rest body)
  "Run BODY with a daemon that can check drafts."
  (declare (indent 0) (debug t))
  `(nixvm-fake-with (list (nixvm-fake-machine "demo"))
     (setf (nixvm-fake-methods nixvm-fake) (cons "nixvm/machine/check" nixvm-fake-methods))
     (nixvm-fake-on "nixvm/machine/check" #'nixvm-create-test-check)
     (nixvm-fake-on "nixvm/vm/create" (lambda (params &rest _) (nixvm-create-test-result params)))
     (nixvm--ensure)
     ,@body))

(defun nixvm-create-test-typing (answers function)
  "Call FUNCTION with ANSWERS typed; return (PROMPT INITIAL DEFAULT) of each.
An answer that is the symbol quit quits."
  (let* (asked
         (answer (lambda (prompt initial default)
                   (push (list (substring-no-properties prompt) initial default) asked)
                   (let ((a (pop answers)))
                     (cond ((eq a 'quit) (signal 'quit nil))
                           ((equal a "") (or default ""))
                           (t a))))))
    (cl-letf (((symbol-function 'read-string)
               (lambda (p &optional i _h d &rest _) (funcall answer p i d)))
              ((symbol-function 'completing-read)
               (lambda (p _t &optional _pred _r i _h d &rest _) (funcall answer p i d)))
              ((symbol-function 'completing-read-multiple)
               (lambda (p _t &optional _pred _r i _h d &rest _)
                 (split-string (funcall answer p i d) "," t))))
      (ignore-error quit (funcall function)))
    (nreverse asked)))

(ert-deftest nixvm-create-answers-are-checked-where-they-are-typed ()
  (nixvm-create-test-with
    (let ((asked (nixvm-create-test-typing
                  '("localhost" "shop" "claude" "4" "4G" "900" "3" "30")
                  (lambda () (call-interactively #'nixvm-create)))))
      ;; What was wrong is said with the question, and can be edited.
      (should (equal (mapcar #'cadr asked) '(nil "localhost" nil nil "4" nil "900" nil)))
      (should (string-prefix-p "localhost is this computer\nName of the new machine" (car (nth 1 asked))))
      (should (string-prefix-p "\"4\" is too little.  Hint: write 4G for 4 GiB\nMemory"
                               (car (nth 4 asked))))
      (should (string-prefix-p "this computer has 8 CPUs\nCPUs" (car (nth 6 asked)))))
    (nixvm-fake-wait (nixvm-fake-received-p "nixvm/vm/create"))
    (let ((params (nixvm-fake-params "nixvm/vm/create")))
      (should (equal (plist-get params :name) "shop"))
      ;; The numbers are those of the daemon, by whose rules a bare 30 is GiB.
      (should (equal (plist-get params :memoryMiB) 4096))
      (should (equal (plist-get params :vcpus) 3))
      (should (equal (plist-get params :diskBytes) 32212254720)))
    (nixvm-fake-wait (null nixvm--works))))

(ert-deftest nixvm-create-remembers-only-what-has-become-a-machine ()
  (nixvm-create-test-with
    (let* ((file (make-temp-file "nixvm")) (nixvm-create-file file)
           (create (lambda () (call-interactively #'nixvm-create))))
      (unwind-protect
          (progn
            (nixvm-fake-answer "nixvm/vm/create" '(:error -32803 "no space" (:code "disk.full")))
            (nixvm-create-test-typing '("shop" "dev" "6G" "4" "40G") create)
            (nixvm-fake-wait (nixvm-fake-received-p "nixvm/vm/create"))
            (nixvm-fake-wait (null nixvm--works))
            (should (zerop (file-attribute-size (file-attributes file))))
            ;; The next try begins with what was typed.  It is quit half-way.
            (let ((asked (nixvm-create-test-typing '("shop" "claude" "7G" quit) create)))
              (should (equal (mapcar (lambda (a) (nth 2 a)) (cdr asked)) '("dev" "6G" "4"))))
            (nixvm-fake-on "nixvm/vm/create" (lambda (params &rest _) (nixvm-create-test-result params)))
            (let ((asked (nixvm-create-test-typing '("shop" "" "" "" "") create)))
              (should (equal (mapcar (lambda (a) (nth 2 a)) (cdr asked)) '("claude" "7G" "4" "40G"))))
            (nixvm-fake-wait (null nixvm--works))
            (should-not nixvm--create-attempt)
            (should (equal (with-temp-buffer (insert-file-contents file) (read (current-buffer)))
                           '(:profiles ("claude") :memory "7G" :vcpus "4" :disk "40G"
                             :network "nat" :backend "laptop"))))
        (delete-file file)))))

(ert-deftest nixvm-create-does-not-offer-what-is-wrong-by-now ()
  (nixvm-create-test-with
    (setq nixvm--create-last '(:profiles ("claude" "gone") :memory "1" :vcpus 64 :disk "20G"))
    (let ((asked (nixvm-create-test-typing '("shop" "" "" "" "")
                                           (lambda () (call-interactively #'nixvm-create)))))
      (should (equal (mapcar (lambda (a) (nth 2 a)) (cdr asked)) '("dev" "2G" "2" "20G"))))
    (nixvm-fake-wait (null nixvm--works))))

(ert-deftest nixvm-create-offers-the-bridges-of-the-backend ()
  (nixvm-create-test-with
    (nixvm-fake-answer "nixvm/backend/bridges"
                       '(:backend "lab" :bridges [(:name "br0" :up t :addresses ["192.0.2.1/24"]
                                                   :ports ["eth0" "tap1"])
                                                  (:name "idle" :up :json-false)]))
    (let (offered notes)
      (cl-letf (((symbol-function 'completing-read)
                 (lambda (_p table &rest _)
                   (setq offered table
                         notes (mapcar (plist-get completion-extra-properties :annotation-function)
                                       table))
                   "bridge:br0")))
        (should (equal (nixvm--read-network "nat" '(:name "lab" :capabilities (:bridge t)))
                       "bridge:br0")))
      (should (equal (plist-get (nixvm-fake-params "nixvm/backend/bridges") :backend) "lab"))
      (should (equal offered '("nat" "bridge:br0" "bridge:idle")))
      (should (equal notes '(nil "  up, 192.0.2.1/24, with eth0 tap1" "  down"))))
    ;; A host that does not list them is no reason to ask nothing.
    (nixvm-fake-answer "nixvm/backend/bridges" '(:error -32803 "unlisted" (:code "capability.unsupported")))
    (should (equal (nixvm-create-test-typing '("bridge:br0") (lambda () (nixvm--read-network "nat" nil)))
                   '(("Network: nat, or bridge:INTERFACE (default nat): " nil "nat"))))))

(ert-deftest nixvm-create-offers-the-pci-devices-of-the-backend ()
  (nixvm-create-test-with
    (nixvm-fake-answer "nixvm/backend/pciDevices"
                       '(:backend "lab" :devices [(:address "0000:00:14.0" :class "USB controller" :id "8086:a36d"
                                                   :problem "bound to xhci_hcd")
                                                  (:address "0000:01:00.0" :class "3D controller"
                                                   :id "10de:1eb8" :name "Tesla T4")]))
    (let (offered notes)
      (cl-letf (((symbol-function 'completing-read-multiple)
                 (lambda (_p table &rest _)
                   (setq offered table
                         notes (mapcar (plist-get completion-extra-properties :annotation-function)
                                       table))
                   '("0000:01:00.0" ""))))
        (should (equal (nixvm--read-pci nil '(:name "lab")) '("0000:01:00.0"))))
      (should (equal (plist-get (nixvm-fake-params "nixvm/backend/pciDevices") :backend) "lab"))
      (should (equal offered '("0000:00:14.0" "0000:01:00.0")))
      (should (equal notes '("  USB controller: 8086:a36d, not ready" "  3D controller: Tesla T4"))))
    (should (equal (plist-get (nixvm--create-params "shop" '(:pci ("0000:01:00.0"))) :pciDevices)
                   ["0000:01:00.0"]))
    ;; It is for one machine.
    (nixvm--create-remember '(:memory "4G" :pci ("0000:01:00.0")))
    (should (equal nixvm--create-last '(:memory "4G")))))

(ert-deftest nixvm-create-says-what-automatic-means ()
  (nixvm-create-test-with
    (let* ((current-prefix-arg '(4))
           (asked (nixvm-create-test-typing '("shop" "" "dev" "" "" "" "")
                                            (lambda () (call-interactively #'nixvm-create)))))
      (should (equal (nth 2 (nth 1 asked)) "automatic (trial)")))
    (nixvm-fake-wait (nixvm-fake-received-p "nixvm/vm/create"))
    (should-not (plist-get (nixvm-fake-params "nixvm/vm/create") :image))
    ;; A daemon takes nothing else, and the wizard would end.
    (pcase-dolist (`(,method . ,params) (nixvm-fake-received nixvm-fake))
      (when (equal method "nixvm/machine/check")
        (cl-loop for (key value) on params by #'cddr
                 do (should (if (eq key :profiles) (vectorp value) (stringp value))))))
    (nixvm-fake-wait (null nixvm--works))))

(ert-deftest nixvm-names-of-snapshots-and-forwards-are-checked-as-well ()
  (nixvm-create-test-with
    (nixvm-fake-answer "nixvm/forward/list" '(:forwards []))
    (nixvm-fake-answer "nixvm/forward/add" '(:forwards []))
    (nixvm-fake-on "nixvm/snapshot/create" (lambda (params &rest _) (nixvm-create-test-result params)))
    (nixvm-create-test-typing '("demo" "bad name" "good" "")
                              (lambda () (call-interactively #'nixvm-snapshot)))
    (nixvm-fake-wait (equal (plist-get (nixvm-fake-params "nixvm/snapshot/create") :snapshot) "good"))
    (let ((asked (nixvm-create-test-typing '("demo" "80" "8080")
                                           (lambda () (call-interactively #'nixvm-forward-add)))))
      (should (string-prefix-p "80 is below 1024\n" (car (nth 2 asked)))))
    (nixvm-fake-wait (equal (plist-get (nixvm-fake-params "nixvm/forward/add") :forward)
                            "8080 localhost:8080"))
    (nixvm-fake-wait (null nixvm--works))))

(provide 'nixvm-create-test)
;;; nixvm-create-test.el ends here
