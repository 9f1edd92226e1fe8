# nixvm_lost: says, at a login, which nix profiles of this account lead nowhere. What
# they led to was on the writable layer of /nix and went with the image below it.
# shellcheck shell=bash
nixvm_lost() {
  case $- in *i*) ;; *) return 0 ;; esac
  [ -t 1 ] && [ "${TERM:-dumb}" != dumb ] || return 0
  find "$HOME/.nix-profile" "$HOME/.local/state/nix/profiles" -maxdepth 1 -type l ! -name '*-link' 2>/dev/null |
    while IFS= read -r link; do
      [ -e "$link" ] || printf '  %s\n' "$link"
    done |
    # Not in a subshell everywhere: zsh ends with an exit in here.
    if IFS= read -r first; then
      printf '%s\n' 'The image of this machine was replaced, and what you had installed into /nix went with it.' 'These lead nowhere now:' "$first"
      cat
      printf '%s\n' 'Install again what you need (nix profile install ...), or remove them (rm).'
    fi
}
