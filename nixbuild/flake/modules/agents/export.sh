# nixvm-export [FILE]: an archive of what cannot be had again: the agents' state and
# sessions, SSH keys, and the repositories of this home with what is not pushed.
# FILE is ~/nixvm-export-HOST-TIME.tar.gz, or - for the standard output.
# shellcheck shell=bash
umask 077
cd "$HOME" || exit
file=${1:-nixvm-export-$(uname -n)-$(date +%Y%m%dT%H%M%S).tar.gz}
if [ $# -gt 1 ] || { [[ $file == -* ]] && [ "$file" != - ]; }; then
  echo "usage: nixvm-export [FILE.tar.gz | -]" >&2
  exit 2
fi
if [ "$file" = - ] && [ -t 1 ]; then
  echo "nixvm-export: not to a terminal: nixvm-export - > FILE.tar.gz" >&2
  exit 2
fi

paths=()
for path in .claude .claude.json .config/opencode .local/share/opencode .ssh .gitconfig .config/git; do
  [ ! -e "$path" ] || paths+=("./$path")
done
# Work trees and bare repositories, not those that packages bring with them.
while IFS= read -r -d '' git; do
  case $git in
  */HEAD) [ -d "${git%/*}/objects" ] || continue ;;
  esac
  paths+=("${git%/*}")
done < <(find . -mindepth 2 -maxdepth 6 \( -name node_modules -o -path './.*' \) -prune -o \( -name .git -o -name HEAD \) -print0 -prune)
if [ ${#paths[@]} = 0 ]; then
  echo "nixvm-export: there is nothing to export in $HOME" >&2
  exit 0
fi

# pack ends with 1 when a file changed while it was read, which is no failure.
pack() {
  local status=0
  tar --create --gzip --file "$1" --exclude=node_modules --exclude=target --exclude=.venv --exclude=.direnv --exclude=__pycache__ -- "${paths[@]}" || status=$?
  [ $status -le 1 ]
}

if [ "$file" = - ]; then
  pack -
  exit
fi
trap 'rm -f "$file.part"' EXIT
pack "$file.part"
mv "$file.part" "$file"
printf '%s holds %s paths, SSH keys and sign-ins among them: keep it to yourself.\n' "$(realpath "$file")" ${#paths[@]} >&2
