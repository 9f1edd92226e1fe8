;;; nixvm-tramp-bench.el --- Files over TRAMP, ours against the usual way  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Commentary:

;; Run by `test/e2e bench', with a machine demo that is up.  Both ways take
;; turns on the same guest in the same Emacs; each turn begins without a
;; connection of TRAMP, as after starting Emacs.

;;; Code:

(require 'nixvm-fake)
(require 'nixvm-bench)
(require 'vc)
(require 'vc-git)

(defvar nixvm-tramp-bench-rounds 5 "How often each way is measured.")

(defun nixvm-tramp-bench--prepare ()
  "Make a git repository in the guest."
  (let ((default-directory temporary-file-directory))
    (unless (zerop (call-process
                    "ssh" nil nil nil "demo"
                    "rm -rf repo && mkdir repo && cd repo && git init -q . && git config user.email a@b && git config user.name n && for i in $(seq 40); do seq 100 >f$i.txt; done && git add . && git commit -qm first"))
      (error "No repository in the guest"))))

(defun nixvm-tramp-bench--turn (prefix round)
  "Open two files below PREFIX and save one; return the seconds of each.
ROUND chooses the files."
  (tramp-cleanup-all-connections)
  (let ((one (format "%sf%d.txt" prefix (1+ (* 2 round))))
        (two (format "%sf%d.txt" prefix (+ 2 (* 2 round))))
        first second save)
    (garbage-collect)
    (setq first (nixvm-bench--time (find-file one)))
    (setq second (nixvm-bench--time (find-file two)))
    (insert "changed\n")
    (setq save (nixvm-bench--time (save-buffer)))
    (dolist (file (list one two))
      (with-current-buffer (get-file-buffer file)
        (set-buffer-modified-p nil)
        (kill-buffer)))
    (list first second save)))

(defmacro nixvm-tramp-bench--fast (&rest body)
  "Run BODY with the settings of `nixvm-tramp-fast'."
  `(let ((remote-file-name-inhibit-locks nil) (nixvm-tramp--fast nil)
         (backup-enable-predicate backup-enable-predicate)
         ;; As a user opens files: by a command.
         (this-command 'find-file))
     (nixvm-tramp-fast)
     ,@body))

(defun nixvm-tramp-bench--cold (round)
  "The seconds of a first open without even the shared ssh connection, in ROUND."
  (call-process "ssh" nil nil nil "-O" "exit" "demo")
  (nixvm-tramp-forget (nixvm-machine "demo"))
  (car (nixvm-tramp-bench--turn "/nixvm:demo:/home/user/repo/" round)))

(defun nixvm-tramp-bench ()
  "Measure and print."
  (setq tramp-verbose 0 inhibit-message t tramp-persistency-file-name nil
        nixvm-auto-revert nil)
  (nixvm--ensure)
  (nixvm-tramp-bench--prepare)
  (let (usual ours cold)
    (dotimes (round (1+ nixvm-tramp-bench-rounds))
      (let ((a (nixvm-tramp-bench--turn "/ssh:demo:/home/user/repo/" round))
            (c (nixvm-tramp-bench--fast (nixvm-tramp-bench--cold round)))
            (b (nixvm-tramp-bench--fast
                (nixvm-tramp-bench--turn "/nixvm:demo:/home/user/repo/" (+ 8 round)))))
        ;; The first round loads what TRAMP and VC need.
        (when (> round 0) (push a usual) (push b ours) (push c cold))))
    (cl-loop for (what index) in '(("first open" 0) ("second open" 1) ("first save" 2)) do
             (let ((a (mapcar (lambda (l) (nth index l)) usual))
                   (b (mapcar (lambda (l) (nth index l)) ours)))
               (nixvm-bench--print (concat what ", /ssh: as it comes") a "-")
               (nixvm-bench--print (concat what ", /nixvm: fast") b
                                   (format "half; it is %.2f"
                                           (/ (nixvm-bench--quantile b 0.5)
                                              (nixvm-bench--quantile a 0.5))))))
    (nixvm-bench--print "first open, and ssh's shared connection" cold "-")))

(provide 'nixvm-tramp-bench)
;;; nixvm-tramp-bench.el ends here
