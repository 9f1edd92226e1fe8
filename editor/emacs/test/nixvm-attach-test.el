;;; nixvm-attach-test.el --- Ways into a machine, with a scripted ssh  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Code:

(require 'ert)
(require 'nixvm-fake-ssh)

(ert-deftest nixvm-attach-opens-dired-after-a-preflight ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (let* (attached (nixvm-after-attach-functions (list (lambda (m) (setq attached (cons m major-mode))))))
      (save-window-excursion
        (nixvm-attach "demo")
        (nixvm-fake-wait attached 20))
      (should (equal (plist-get (car attached) :name) "demo"))
      (should (eq (cdr attached) 'dired-mode))
      (should (string-match-p "BatchMode=yes .* demo id" (car (nixvm-tramp-test-log)))))))

(ert-deftest nixvm-attach-shows-dired-without-waiting-for-tramp ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (write-region "here" nil (expand-file-name "a file é" nixvm-tramp-test-directory) nil 'silent)
    (make-directory (expand-file-name "sub" nixvm-tramp-test-directory))
    (let* (buffer (this-command nil)
           (nixvm-after-attach-functions (list (lambda (_) (setq buffer (current-buffer))))))
      (save-window-excursion
        (nixvm-attach "demo")
        (nixvm-fake-wait buffer 20))
      (with-current-buffer buffer
        (font-lock-ensure)
        (should (equal default-directory (nixvm-tramp-test-name "")))
        (should-not (file-remote-p default-directory nil t))
        ;; Two commands in the guest, and no login shell of TRAMP.
        (should (= 2 (length (nixvm-tramp-test-log))))
        (should (string-match-p "demo cd .* && LC_ALL=C ls -al \\.\\'" (cadr (nixvm-tramp-test-log))))
        (goto-char (point-min))
        (should (dired-goto-file (nixvm-tramp-test-name "a file é")))
        (should (equal (dired-get-filename) (nixvm-tramp-test-name "a file é")))
        (should (dired-goto-file (nixvm-tramp-test-name "sub")))
        ;; It is a Dired like any other as soon as a command needs the guest.
        (let ((this-command 'revert-buffer))
          (write-region "" nil (expand-file-name "newer" nixvm-tramp-test-directory) nil 'silent)
          (revert-buffer)
          (should (dired-goto-file (nixvm-tramp-test-name "newer"))))
        (should (eq buffer (dired-noselect (nixvm-tramp-test-name ""))))))))

(ert-deftest nixvm-attach-to-a-directory-that-is-not-there-says-so ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (let ((said (nixvm-fake-messages
                  (nixvm-attach "demo" "/nonexistent")
                  (nixvm-fake-wait (= 2 (length (nixvm-tramp-test-log))))
                  (nixvm-fake-wait (null (cl-find "nixvm-preflight" (process-list) :key #'process-name
                                                  :test #'string-prefix-p))))))
      (should (cl-find-if (lambda (s) (string-match-p "Attach demo: .*/nonexistent" s)) said)))))

(ert-deftest nixvm-attach-does-not-stop-who-works-on ()
  "A shell over TRAMP makes Emacs wait; who types meanwhile is told instead."
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (let* (opened
           (open (lambda (&rest _) (setq opened t)))
           (said (nixvm-fake-messages
                   (nixvm--attach "demo" open)
                   (let ((num-input-keys (1+ num-input-keys)))
                     (nixvm-fake-wait (assoc "demo" nixvm--connected-hosts))
                     (nixvm-fake-wait (null nixvm--refresh-timer))))))
      (should (cl-find-if (lambda (s) (string-match-p "demo is ready; .*nixvm-attach opens it" s)) said))
      (should-not opened)
      ;; Who waits gets it, and so does who asked for a terminal.
      (nixvm--attach "demo" open)
      (nixvm-fake-wait opened)
      (should (get 'nixvm-attach-terminal 'nixvm-instant)))))

(ert-deftest nixvm-attach-gives-the-error-of-ssh ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (write-region "Host key verification failed.\n" nil
                  (expand-file-name "error" nixvm-tramp-test-directory) nil 'silent)
    (let ((said (nixvm-fake-messages
                  (nixvm-attach "demo")
                  (nixvm-fake-wait (nixvm-tramp-test-log))
                  (nixvm-fake-wait (null (cl-find "nixvm-preflight" (process-list) :key #'process-name
                                                  :test #'string-prefix-p))))))
      (should (cl-find-if (lambda (s) (string-match-p "Attach demo: ssh cannot connect to demo: Host key verification failed\\." s))
                          said)))))

(ert-deftest nixvm-attach-does-not-take-the-window-of-who-moved-on ()
  (nixvm-tramp-test-with (list (nixvm-fake-machine "demo"))
    (let* (attached (nixvm-after-attach-functions (list (lambda (_) (setq attached t)))))
      (save-window-excursion
        (switch-to-buffer "*scratch*")
        (nixvm-attach "demo")
        (switch-to-buffer "*elsewhere*")
        (nixvm-fake-wait attached 20)
        (should (equal (buffer-name (window-buffer (selected-window))) "*elsewhere*"))
        (should (cl-find-if (lambda (w) (eq (buffer-local-value 'major-mode (window-buffer w)) 'dired-mode))
                            (window-list))))
      (kill-buffer "*elsewhere*"))))

(provide 'nixvm-attach-test)
;;; nixvm-attach-test.el ends here
