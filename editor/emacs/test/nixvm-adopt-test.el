;;; nixvm-adopt-test.el --- Take over VMs of nixos-vm-template  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Code:

(require 'ert)
(require 'nixvm-fake)
(require 'nixvm-adopt)

(defconst nixvm-adopt-test-found
  '(:directory "/old" :config "[backends.lab]\ntype = \"libvirt\"\n"
    :machines [(:id "libvirt/laptop/shop" :name "shop" :profiles ["dev"] :mode "immutable"
                :disk "/old/var.qcow2" :diskBytes 21474836480 :snapshots 2)
               (:id "done" :name "done" :profiles ["dev"] :mode "immutable" :adopted t)
               (:id "up" :name "up" :profiles ["dev"] :mode "immutable"
                :problem (:code "vm.running" :message "its disk is in use" :hint "shut it down"))])
  "What a directory of nixos-vm-template has.")

(defmacro nixvm-adopt-test-with (&rest body)
  "Run BODY in the list of `nixvm-adopt-test-found'."
  (declare (indent 0))
  `(nixvm-fake-with nil
     (setf (nixvm-fake-methods nixvm-fake) (append '("nixvm/adopt/list" "nixvm/adopt/take") nixvm-fake-methods))
     (nixvm-fake-answer "nixvm/adopt/list" nixvm-adopt-test-found)
     (nixvm-fake-on "nixvm/adopt/take"
                    (lambda (params &rest _)
                      (list :operation '(:id "1" :state "succeeded")
                            :vm (nixvm-fake-machine (plist-get params :name)))))
     (save-window-excursion
       (unwind-protect
           (progn
             (nixvm-adopt "/old/")
             (set-buffer "*nixvm adopt*")
             (nixvm-fake-wait tabulated-list-entries)
             ,@body)
         (kill-buffer "*nixvm adopt*")))))

(defun nixvm-adopt-test-at (id)
  "Go to the row of the machine ID."
  (goto-char (point-min))
  (while (not (or (eobp) (equal (plist-get (tabulated-list-get-id) :id) id))) (forward-line))
  (should (tabulated-list-get-id)))

(defun nixvm-adopt-test-taken ()
  "The params with which a machine was taken over."
  (nixvm-fake-wait (nixvm-fake-received-p "nixvm/adopt/take"))
  (nixvm-fake-wait (null nixvm--works))
  (nixvm--without :workDoneToken (nixvm-fake-params "nixvm/adopt/take")))

(ert-deftest nixvm-adopt-lists-and-takes-over-after-a-question ()
  (nixvm-adopt-test-with
    (should (equal (nixvm-fake-params "nixvm/adopt/list") '(:directory "/old")))
    (let ((text (buffer-string)))
      (dolist (row '("libvirt/laptop/shop +dev +immutable +20 GiB +can be taken over" "done .*taken over$"
                     "up .*its disk is in use.  Hint: shut it down"))
        (should (string-match-p row text))))
    (nixvm-adopt-test-at "libvirt/laptop/shop")
    (let (asked)
      (nixvm-fake-typing '("")
        (cl-letf (((symbol-function 'yes-or-no-p) (lambda (question) (setq asked question) t)))
          (call-interactively #'nixvm-adopt-take)))
      (should (string-match-p "becomes the machine shop with its settings, its identity and a copy of its disk (20 GiB); 2 snapshots stay" asked)))
    (should (equal (nixvm-adopt-test-taken) '(:directory "/old" :id "libvirt/laptop/shop" :name "shop")))))

(ert-deftest nixvm-adopt-takes-another-name-backend-and-image ()
  (nixvm-adopt-test-with
    (nixvm-adopt-test-at "libvirt/laptop/shop")
    (should (string-match-p "with its settings, an identity of its own"
                            (nixvm--adopt-question (tabulated-list-get-id) "other")))
    (let ((current-prefix-arg '(4)))
      (nixvm-fake-typing '("other" "trial" t) (call-interactively #'nixvm-adopt-take)))
    (should (equal (nixvm-adopt-test-taken)
                   '(:directory "/old" :id "libvirt/laptop/shop" :name "other" :backend "laptop" :image "trial")))))

(ert-deftest nixvm-adopt-leaves-alone-what-cannot-be-taken-over ()
  (nixvm-adopt-test-with
    (dolist (id '("done" "up"))
      (nixvm-adopt-test-at id)
      (should-error (call-interactively #'nixvm-adopt-take) :type 'user-error))
    (nixvm-adopt-test-at "libvirt/laptop/shop")
    (should (eq 'quit (condition-case nil
                          (nixvm-fake-typing '("shop" nil) (call-interactively #'nixvm-adopt-take))
                        (quit 'quit))))
    (should-not (nixvm-fake-received-p "nixvm/adopt/take"))))

(ert-deftest nixvm-adopt-copies-what-the-env-file-means ()
  (nixvm-adopt-test-with
    (nixvm-adopt-copy-config)
    (should (equal (current-kill 0) (plist-get nixvm-adopt-test-found :config)))
    (should-error (nixvm-adopt "/ssh:elsewhere:/old") :type 'user-error)))

(provide 'nixvm-adopt-test)
;;; nixvm-adopt-test.el ends here
