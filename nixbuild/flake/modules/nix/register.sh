# Tells nix's database what the store of the image holds: the image is made without
# running nix, and what the database does not know the next garbage collection
# deletes. mode is set by the unit.
# shellcheck shell=bash disable=SC2154
list=/nix/nixvm-registration
mark=/nix/var/nix/db/nixvm-registered

# A mutable guest's store is its own after the first time: what its first image held
# may have been replaced and collected since.
if [ -e $mark ] && [ "$mode" = mutable ]; then
  exit 0
fi
content=$(sha256sum <$list)
content=${content%% *}

# complete reports whether the database knows this list, and the running system.
complete() {
  [ -e $mark ] && [ "$(cat $mark)" = "$content" ] && nix-store --check-validity "$(readlink -f /run/current-system)"
}

if ! complete 2>/dev/null; then
  nix-store --load-db <$list
  echo "$content" >$mark.new
  mv $mark.new $mark
fi
# Where this fails no garbage is collected (nix.nix).
complete
