;;; nixvm-configure-test.el --- Change the settings of a machine  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Code:

(require 'ert)
(require 'nixvm-fake)
(require 'nixvm-list)
(require 'nixvm-configure)

(defconst nixvm-configure-test-now
  '(:name (:ok t :value "demo") :memoryMiB (:ok t :value "4G" :number 4096)
    :vcpus (:ok t :value "2" :number 2) :staticIp (:ok t :value "dhcp") :gateway (:ok t)
    :nameservers (:ok t :values []) :tcpPorts (:ok t :values ["22" "8080"])
    :hosts (:ok t :values []) :addKeys (:ok t) :removeKeys (:ok t :choices ["desk" "SHA256:x"]))
  "What the daemon of these tests says of a draft that changes nothing.")

(defun nixvm-configure-test-check (params)
  "What the daemon says of a draft with PARAMS.
The gateway does not fit a static address."
  (let ((fields (copy-tree nixvm-configure-test-now)))
    (cl-flet ((wrong (key text)
                (setq fields (plist-put fields key
                                        `(:ok :json-false
                                          :problem (:code "params.invalid" :message ,text :hint "h"))))))
      (when (equal (plist-get params :memoryMiB) "8G")
        (setq fields (plist-put fields :memoryMiB '(:ok t :value "8G" :number 8192))))
      (when (equal (plist-get params :memoryMiB) "much") (wrong :memoryMiB "not a size"))
      (when (and (plist-get params :staticIp)
                 (not (equal (plist-get params :staticIp) "dhcp"))
                 (member (plist-get params :gateway) '(nil "")))
        (wrong :gateway "the gateway is elsewhere")))
    (list :ok t :fields fields)))

(defmacro nixvm-configure-test-with (machine &rest body)
  "Run BODY with MACHINE, whose settings are `nixvm-configure-test-now'."
  (declare (indent 1))
  `(let ((machine ,machine))
     (nixvm-fake-with (list machine)
       (nixvm-fake-on "nixvm/machine/check" (lambda (params &rest _) (nixvm-configure-test-check params)))
       (nixvm-fake-on "nixvm/machine/configure" (lambda (&rest _) (list :machine machine)))
       (nixvm--ensure)
       ,@body)))

(defun nixvm-configure-test-sent ()
  "The params of the request to configure, without the name."
  (nixvm-fake-wait (nixvm-fake-received-p "nixvm/machine/configure"))
  (let ((params (nixvm-fake-params "nixvm/machine/configure")))
    (should (equal (plist-get params :name) "demo"))
    (nixvm--without :name params)))

(ert-deftest nixvm-configure-sends-what-was-changed ()
  (nixvm-configure-test-with (nixvm-fake-machine "demo")
    (nixvm-fake-typing '("demo" "memory,tcp-ports,dns,remove-keys" "8G" "9.9.9.9, 1.1.1.1" "22,80" "desk")
      (call-interactively #'nixvm-configure))
    (should (equal (nixvm-configure-test-sent)
                   '(:memoryMiB 8192 :nameservers ["9.9.9.9" "1.1.1.1"] :tcpPorts [22 80] :removeKeys ["desk"])))))

(ert-deftest nixvm-configure-takes-a-pci-device-away ()
  (nixvm-configure-test-with (nixvm-fake-machine "demo")
    (let ((nixvm-configure-test-now
           (append nixvm-configure-test-now '(:pciDevices (:ok t :values ["0000:01:00.0"])))))
      (nixvm-fake-answer "nixvm/backend/pciDevices" '(:devices []))
      (nixvm-fake-typing '("demo" "pci" "")
        (call-interactively #'nixvm-configure))
      (should (equal (nixvm-configure-test-sent) '(:pciDevices []))))))

(ert-deftest nixvm-configure-empties-a-list ()
  (nixvm-configure-test-with (nixvm-fake-machine "demo")
    (nixvm-fake-typing '("demo" "tcp-ports" " ") (call-interactively #'nixvm-configure))
    (should (equal (nixvm-configure-test-sent) '(:tcpPorts [])))))

(ert-deftest nixvm-configure-asks-again-for-what-is-wrong ()
  (nixvm-configure-test-with (nixvm-fake-machine "demo")
    (nixvm-fake-typing '("demo" "memory" "much" "8G") (call-interactively #'nixvm-configure))
    (should (equal (nixvm-configure-test-sent) '(:memoryMiB 8192)))))

(ert-deftest nixvm-configure-asks-for-what-belongs-to-an-address ()
  (nixvm-configure-test-with (nixvm-fake-machine "demo")
    (nixvm-fake-typing '("demo" "static-ip" "10.0.0.5/24" " ") (call-interactively #'nixvm-configure))
    (should (equal (nixvm-configure-test-sent) '(:staticIp "10.0.0.5/24" :gateway "")))))

(ert-deftest nixvm-configure-adds-the-keys-of-a-file ()
  (nixvm-configure-test-with (nixvm-fake-machine "demo")
    (let ((file (make-temp-file "nixvm-key" nil ".pub" "# mine\nssh-ed25519 AAAA a\n\nssh-ed25519 BBBB b\n")))
      (unwind-protect
          (cl-letf (((symbol-function 'read-file-name) (lambda (&rest _) file)))
            (nixvm-fake-typing '("demo" "add-keys") (call-interactively #'nixvm-configure)))
        (delete-file file)))
    (should (equal (nixvm-configure-test-sent) '(:addKeys ["ssh-ed25519 AAAA a" "ssh-ed25519 BBBB b"])))))

(ert-deftest nixvm-configure-says-what-is-pending ()
  (nixvm-configure-test-with (nixvm-fake-machine "demo" :nextStart ["memoryMiB"] :pending ["profiles"])
    (let ((said (nixvm-fake-messages
                  (nixvm-configure "demo" '(:memoryMiB 8192))
                  (nixvm-configure-test-sent)
                  (nixvm--call "nixvm/profile/list" nil))))
      (should (cl-find-if (lambda (line)
                            (string-match-p "pending until its next start: memory; pending until an upgrade: profiles (.*nixvm-apply"
                                            line))
                          said)))
    (should (string-suffix-p ", profiles changed" (nixvm--list-state (nixvm-machine "demo"))))))

(ert-deftest nixvm-pending-changes-are-in-the-list ()
  (nixvm-configure-test-with (nixvm-fake-machine "demo" :nextStart ["memoryMiB"])
    (should (equal (substring-no-properties (nixvm--list-state (nixvm-machine "demo")))
                   "running, pending changes"))))

(ert-deftest nixvm-apply-does-what-the-changes-need ()
  (pcase-dolist (`(,fields ,answers ,method)
                 '(((:nextStart ["memoryMiB"]) (t) "nixvm/vm/reboot")
                   ((:pending ["profiles"] :nextStart ["memoryMiB"]) (t) "nixvm/vm/upgrade")
                   ((:mode "mutable" :vmMode "immutable" :pending ["mode"] :actions ["configure" "recreate"])
                    ("demo") "nixvm/vm/recreate")))
    (nixvm-configure-test-with (apply #'nixvm-fake-machine "demo" fields)
      (nixvm-fake-answer method '(:operation (:id "1" :state "succeeded")))
      (nixvm-fake-typing (cons "demo" answers)
        (call-interactively #'nixvm-apply)
        (nixvm-fake-wait (nixvm-fake-received-p method)))
      (should-not (nixvm-configure-test-sent)))))

(ert-deftest nixvm-apply-waits-for-what-the-guest-takes-over ()
  (nixvm-configure-test-with (nixvm-fake-machine "demo" :nextStart ["tcpPorts"])
    (nixvm-fake-on "nixvm/machine/configure"
                   (lambda (&rest _) (list :machine (nixvm-fake-machine "demo" :operation "7"))))
    (nixvm-fake-on "nixvm/operation/subscribe"
                   (lambda (&rest _)
                     (nixvm-fake-change (nixvm-fake-machine "demo"))
                     '(:operation (:id "7" :state "succeeded"))))
    (let ((said (nixvm-fake-messages
                  (nixvm-fake-typing '("demo") (call-interactively #'nixvm-apply))
                  (nixvm-fake-wait (member "demo has all its settings" said)))))
      (should said))
    (should-not (nixvm-fake-received-p "nixvm/vm/reboot"))))

(ert-deftest nixvm-share-shows-what-the-other-computer-needs ()
  (nixvm-configure-test-with (nixvm-fake-machine "demo" :network "bridge:br0"
                                                 :actions (vconcat (nixvm-fake-actions "ready" nil) ["share"]))
    (nixvm-fake-answer "nixvm/ssh/share"
                       (list :machine machine :address "192.168.1.10:22" :config "Host demo\n" :knownHost "demo ssh-ed25519 X\n"
                             :warning "the address may change"))
    (unwind-protect
        (let ((file (make-temp-file "nixvm-key" nil ".pub" "ssh-ed25519 AAAA a\n")))
          (cl-letf (((symbol-function 'read-file-name) (lambda (&rest _) file)))
            (nixvm-fake-typing '("demo") (call-interactively #'nixvm-share)))
          (nixvm-fake-wait (get-buffer "*demo share*"))
          (should (equal (nixvm-fake-params "nixvm/ssh/share") '(:name "demo" :keys ["ssh-ed25519 AAAA a"])))
          (with-current-buffer "*demo share*"
            (dolist (text '("Host demo" "demo ssh-ed25519 X" "may change"))
              (goto-char (point-min))
              (should (search-forward text))))
          (delete-file file))
      (when (get-buffer "*demo share*") (kill-buffer "*demo share*")))))

(ert-deftest nixvm-share-needs-no-key ()
  (nixvm-configure-test-with (nixvm-fake-machine "demo" :actions ["share"])
    (nixvm-fake-answer "nixvm/ssh/share" '(:error -32803 "demo is not on a bridge" (:code "unsupported")))
    (cl-letf (((symbol-function 'read-file-name) (lambda (&rest _) "")))
      (nixvm-fake-typing '("demo") (call-interactively #'nixvm-share)))
    (nixvm-fake-wait (nixvm-fake-received-p "nixvm/ssh/share"))
    (should (equal (nixvm-fake-params "nixvm/ssh/share") '(:name "demo")))))

(provide 'nixvm-configure-test)
;;; nixvm-configure-test.el ends here
