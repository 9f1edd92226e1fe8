# nixvm-link-home DIRECTORY: links every file of it into the home. A file that the
# user made stays; a link of an older image is replaced, or removed when the new
# image has no such file.
# shellcheck shell=bash
files=$1
cd "$HOME" || exit

find . -xdev -type l -lname '/nix/store/*-home-manager-files/*' -print0 |
  while IFS= read -r -d '' link; do
    [ -e "$files/$link" ] || [ -L "$files/$link" ] || rm -f "$link"
  done

find "$files/" -mindepth 1 ! -type d -printf '%P\0' |
  while IFS= read -r -d '' name; do
    if [ -e "$name" ] && [ ! -L "$name" ]; then
      echo "$name is the user's own: not linked"
      continue
    fi
    case $name in */*) mkdir -p "${name%/*}" ;; esac
    ln -sfn "$files/$name" "$name"
  done
