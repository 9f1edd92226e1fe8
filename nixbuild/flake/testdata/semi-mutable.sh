# A semi-mutable guest without a VM: the programs of the guest, the service's script
# and a real nix, on an overlay of /nix in a mount namespace. A test says what boots
# and looks at what is said; run as: unshare --mount [--map-root-user] bash THIS DIR
#
# DIR/disk.sh and DIR/register.sh are the programs; NIX is the nix to use.
# shellcheck shell=bash
set -euo pipefail
dir=$1
mount --make-rprivate /

# The root of the guest: this machine's, with /nix, /var and /run of its own.
root=$dir/root
mkdir -p "$root"
mount -t tmpfs -o mode=755 tmpfs "$root"
for entry in /*; do
  case $entry in /nix | /var | /run | /lost+found) continue ;; esac
  if [ -L "$entry" ]; then
    cp -P "$entry" "$root$entry"
  elif [ -d "$entry" ]; then
    mkdir -p "$root$entry"
    mount --rbind "$entry" "$root$entry"
  fi
done
mkdir -p "$root"/{nix,var/nix,run/nixvm,image}
export HOME=/run/home NIX_STORE_DIR=/nix/store NIX_STATE_DIR=/nix/var/nix NIX_LOG_DIR=/nix/var/log NIX_CONF_DIR=/run/conf NIX_REMOTE='' NIX_USER_CONF_FILES=
mkdir -p "$root$HOME" "$root$NIX_CONF_DIR"
printf '%s\n' 'experimental-features = nix-command flakes' 'sandbox = false' 'build-users-group =' 'substitute = false' >"$root$NIX_CONF_DIR/nix.conf"

inside() { chroot "$root" "$@"; }
# quiet runs what talks only when it fails.
quiet() { "$@" >"$dir/out" 2>&1 || { cat "$dir/out" && exit 1; }; }
store() { for path in "$root"/nix/store/*-"$1"; do echo "/nix/store/${path##*/}"; done; }
same() { [ "$2" = "$3" ] || { echo "FAIL: $1: $2, not $3" && exit 1; }; }
# has WHAT NAME: does the guest see it, and does nix know it?
has() {
  [ -e "$root$(store "$1")" ] || { echo "FAIL: $1 is not in the store: $2" && exit 1; }
  quiet inside nix-store --check-validity "$(store "$1")"
}

# image NAME TEXT makes the store of an image: a system that needs a program, with
# the list of both, and nothing that nix has written.
image() {
  mount -t tmpfs tmpfs "$root/nix"
  local system
  system=$(inside nix-instantiate --eval --read-write-mode --expr 'let
      program = builtins.toFile "program" "the program of '"$2"'";
    in builtins.toFile "system" "starts ${program}"' 2>"$dir/out") || { cat "$dir/out" && exit 1; }
  inside nix-store --dump-db >"$dir/list"
  mkdir -p "$root/image/$1"
  cp -a "$root/nix/store" "$root/image/$1/store"
  cp "$dir/list" "$root/image/$1/nixvm-registration"
  umount "$root/nix"
  eval "system=$system"
  echo "$system" >"$root/image/$1/system"
}

# start NAME boots an image: what preinit does, what the activation does, the service.
start() {
  mount --bind "$root/image/$1" "$root/nix"
  echo 26.05-same >"$root/run/version"
  inside busybox sh -c 'say() { echo "console: $*"; }; . '"$dir"'/disk.sh; overlay_nix'
  ln -sfn "$(cat "$root/image/$1/system")" "$root/run/current-system"
  mkdir -p "$root/nix/var/nix/gcroots"
  ln -sfn /run/current-system "$root/nix/var/nix/gcroots/current-system"
  register
}
register() { mode=semi-mutable inside bash -e "$dir/register.sh" 2>"$dir/out" || { cat "$dir/out" && exit 1; }; }
stop() { umount "$root/nix" && umount "$root/nix"; }
collect() { quiet inside nix-collect-garbage; }

# install NAME: into the profile of the account.
install() {
  local path
  path=$(inside nix-instantiate --eval --read-write-mode --expr "builtins.toFile \"$1\" \"installed\"")
  eval "path=$path"
  mkdir -p "$root$HOME/.local/state/nix/profiles"
  ln -sfn "$path" "$root$HOME/.local/state/nix/profiles/$1"
  quiet inside nix-store --realise --add-root "$HOME/.local/state/nix/profiles/$1" --indirect "$path"
}

echo "# what was installed stays"
image one one
start one
has program 'of the image'
install mine
stop
start one
has mine 'after a reboot'
collect
has mine 'after a collection'
has program 'after a collection'
same 'what the service does a second time' "$(register)" ''

echo "# another store under the same name"
stop
image two two
start two
same 'what was installed over another image' "$(find "$root/nix/store" -name '*-mine')" ''
[ ! -e "$root$HOME/.local/state/nix/profiles/mine" ] || { echo 'FAIL: the link of the profile leads somewhere' && exit 1; }
collect
has program 'of the other image, after a collection'
has system 'of the other image, after a collection'

echo "# its own files were deleted"
install again
inside rm -rf "$(store program)"
stop
start two
has program 'that was deleted'
has again 'when the image was mended'

echo "# a database that does not know the system"
cp "$root/nix/var/nix/db/nixvm-registered" "$dir/mark"
rm -rf "$root"/nix/var/nix/db/*
cp "$dir/mark" "$root/nix/var/nix/db/nixvm-registered"
register
has program 'in a new database'
stop

echo "# a power cut while it is emptied, or before it is marked"
rm -f "$root/var/nix/image"
start two
has system 'after that'
echo "# end"
