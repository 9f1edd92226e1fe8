;;; nixvm-tramp-bench.el --- Files over TRAMP, ours against the usual way  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Commentary:

;; Run by `test/e2e bench', with a machine demo that is up.  The ways take turns
;; on the same guest in the same Emacs; each turn begins without a connection of
;; TRAMP, as after starting Emacs.
;;
;; `/ssh:' is measured as it comes and with what `nixvm-tramp-fast' sets, as one
;; who knows TRAMP would set it: what is left is what the package itself does.

;;; Code:

(require 'nixvm-fake)
(require 'nixvm-bench)
(require 'vc)
(require 'vc-git)
(require 'tramp)

(defvar nixvm-tramp-bench-rounds 5 "How often each way is measured.")

(defun nixvm-tramp-bench--prepare ()
  "Make a git repository in the guest."
  (let ((default-directory temporary-file-directory))
    (unless (zerop (call-process
                    "ssh" nil nil nil "demo"
                    "rm -rf repo && mkdir repo && cd repo && git init -q . && git config user.email a@b && git config user.name n && for i in $(seq 60); do seq 100 >f$i.txt; done && git add . && git commit -qm first"))
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

(defmacro nixvm-tramp-bench--tuned (&rest body)
  "Run BODY with settings for /ssh: that match those of `nixvm-tramp-fast'.
No lock files, no backups, no VC, and the shared connection of the daemon's ssh
configuration instead of one of TRAMP's own."
  `(cl-progv (list (if (boundp 'tramp-use-connection-share) 'tramp-use-connection-share
                     'tramp-use-ssh-controlmaster-options)) ; until Emacs 29
       '(nil)
     (let ((remote-file-name-inhibit-locks t)
           (make-backup-files nil)
           (vc-ignore-dir-regexp (format "%s\\|\\`/ssh:" vc-ignore-dir-regexp)))
       ,@body)))

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
  (let (usual tuned ours cold)
    (dotimes (round (1+ nixvm-tramp-bench-rounds))
      (let ((a (nixvm-tramp-bench--turn "/ssh:demo:/home/user/repo/" round))
            (c (nixvm-tramp-bench--fast (nixvm-tramp-bench--cold round)))
            (d (nixvm-tramp-bench--tuned
                (nixvm-tramp-bench--turn "/ssh:demo:/home/user/repo/" (+ 16 round))))
            (b (nixvm-tramp-bench--fast
                (nixvm-tramp-bench--turn "/nixvm:demo:/home/user/repo/" (+ 8 round)))))
        ;; The first round loads what TRAMP and VC need.
        (when (> round 0) (push a usual) (push d tuned) (push b ours) (push c cold))))
    (cl-loop for (what index) in '(("first open" 0) ("second open" 1) ("first save" 2)) do
             (cl-flet ((times (turns) (mapcar (lambda (l) (nth index l)) turns))
                       (ratio (a b) (/ (nixvm-bench--quantile a 0.5) (nixvm-bench--quantile b 0.5))))
               (nixvm-bench--print (concat what ", /ssh: as it comes") (times usual) "-")
               (nixvm-bench--print (concat what ", /ssh: same settings") (times tuned) "-")
               (nixvm-bench--print (concat what ", /nixvm: fast") (times ours)
                                   (format "half of the first; it is %.2f, and %.2f of the second"
                                           (ratio (times ours) (times usual))
                                           (ratio (times ours) (times tuned))))))
    (nixvm-bench--print "first open, and ssh's shared connection" cold "-")))

(provide 'nixvm-tramp-bench)
;;; nixvm-tramp-bench.el ends here
