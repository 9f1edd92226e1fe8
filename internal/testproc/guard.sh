# shellcheck shell=sh
# Reads the directory, and the word "over" when the test has tidied up. Without that
# word the test process was killed: what belongs to the directory is killed too.
read -r dir
read -r word
[ "$word" != over ] || exit 0
for _ in 1 2 3; do # the second time for what was started meanwhile
  for process in /proc/[0-9]*; do
    if grep -qzxF -e "NIXVM_HOME=$dir" "$process/environ" || grep -qaF -e "$dir/" "$process/cmdline"; then
      kill -9 "${process#/proc/}"
    fi
  done
done 2>/dev/null
