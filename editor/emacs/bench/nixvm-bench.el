;;; nixvm-bench.el --- How fast the package is  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The nixvm authors
;; SPDX-License-Identifier: MIT

;;; Commentary:

;; Run by bench/run, which starts a real daemon for the first part.

;;; Code:

(require 'nixvm-fake)

(defun nixvm-bench--quantile (times q)
  "The quantile Q of the list TIMES."
  (let ((sorted (sort (copy-sequence times) #'<)))
    (nth (min (1- (length sorted)) (floor (* q (length sorted)))) sorted)))

(defun nixvm-bench--print (what times target)
  "Print quantiles of TIMES, in seconds, of WHAT, with its TARGET."
  (princ (format "%-44s p50 %8.3f  p95 %8.3f  max %8.3f ms  n %d  (target %s)\n" what
                 (* 1000 (nixvm-bench--quantile times 0.5))
                 (* 1000 (nixvm-bench--quantile times 0.95))
                 (* 1000 (apply #'max times)) (length times) target)))

(defmacro nixvm-bench--time (&rest body)
  "The seconds that BODY takes."
  `(let ((start (float-time))) ,@body (- (float-time) start)))

(defun nixvm-bench--raw (process request)
  "Send REQUEST to PROCESS, and wait until something comes back."
  (process-put process 'answer nil)
  (process-send-string process request)
  (while (not (process-get process 'answer)) (accept-process-output process)))

(defun nixvm-bench-requests ()
  "Measure requests to the daemon that runs, in turns with a bare socket.
The second is what Emacs, the machine and the daemon cost without the package."
  (nixvm--ensure)
  (let* ((frame (lambda (body) (format "Content-Length: %d\r\n\r\n%s" (string-bytes body) body)))
         (request (funcall frame "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nixvm/version\",\"params\":null}"))
         (socket (make-network-process
                  :name "raw" :family 'local :service (nixvm-socket-file) :coding 'utf-8-emacs-unix
                  :filter (lambda (process string) (process-put process 'answer string))))
         ours raw)
    (dotimes (_ 50)
      (nixvm-bench--raw socket request)
      (nixvm--call "nixvm/version" nil))
    (garbage-collect)
    (dotimes (_ 20)
      (dotimes (_ 50) (push (nixvm-bench--time (nixvm--call "nixvm/version" nil)) ours))
      (dotimes (_ 50) (push (nixvm-bench--time (nixvm-bench--raw socket request)) raw)))
    (delete-process socket)
    (nixvm-bench--print "request and answer" ours "p50 0.1 ms")
    (nixvm-bench--print "the same through a bare socket" raw "-"))
  (nixvm-disconnect))

(defun nixvm-bench-notifications ()
  "Measure 1,000 changes, from the first byte read to the state."
  (let (times)
    (dotimes (_ 7)
      (nixvm-fake-with (list (nixvm-fake-machine "demo"))
        (nixvm--ensure)
        (let* ((message (json-serialize
                         (list :jsonrpc "2.0" :method "nixvm/didChange"
                               :params (list :changed (vector (nixvm-fake-machine "demo"))))
                         :false-object :json-false))
               (last (json-serialize
                      (list :jsonrpc "2.0" :method "nixvm/didChange"
                            :params (list :changed (vector (nixvm-fake-machine "last"))))
                      :false-object :json-false))
               (frame (lambda (m) (format "Content-Length: %d\r\n\r\n%s" (string-bytes m) m)))
               (bytes (concat (apply #'concat (make-list 999 (funcall frame message)))
                              (funcall frame last))))
          (garbage-collect)
          ;; Read as the filter of the connection reads: 4 KiB at a time.
          (push (nixvm-bench--time
                 (let ((i 0) (filter (process-filter (jsonrpc--process nixvm--connection))))
                   (while (< i (length bytes))
                     (funcall filter (jsonrpc--process nixvm--connection)
                              (substring bytes i (min (length bytes) (+ i 4096))))
                     (setq i (+ i 4096)))))
                times)
          (unless (nixvm-machine "last") (error "Lost a notification")))))
    (nixvm-bench--print "1,000 notifications" times "100 ms")))

(defun nixvm-bench-list ()
  "Measure the list of 200 machines."
  (nixvm-fake-with (mapcar (lambda (i) (nixvm-fake-machine (format "vm-%03d" i))) (number-sequence 1 200))
    (nixvm)
    (nixvm-fake-wait (nixvm-machine "vm-200"))
    (with-current-buffer nixvm-list-buffer
      (let (one all)
        (dotimes (i 40)
          (dotimes (n 200)
            (puthash (format "vm-%03d" (1+ n))
                     (nixvm-fake-machine (format "vm-%03d" (1+ n)) :memoryMiB (* 1024 (1+ i)))
                     nixvm--machines))
          (push (nixvm-bench--time (nixvm--list-print)) all)
          (puthash "vm-100" (nixvm-fake-machine "vm-100" :state "stopped" :memoryMiB (+ i 5)) nixvm--machines)
          (push (nixvm-bench--time (nixvm--list-print)) one))
        (nixvm-bench--print "list of 200, one has changed" one "20 ms")
        (nixvm-bench--print "list of 200, all have changed" all "20 ms")))))

(provide 'nixvm-bench)
;;; nixvm-bench.el ends here
