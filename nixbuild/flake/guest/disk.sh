# The state disk (/var) and, in mutable mode, the root disk. Sourced by preinit.
# shellcheck shell=dash

# Bytes at 32 KiB of a disk that we are formatting, or that the host has made for
# us: between the partition table and the first partition. While they are there,
# nothing was ever mounted from it, so a format that a power cut ended can start
# over.
FORMATTING="nixvm: being formatted"

# part DISK N: the device of its Nth partition.
part() {
	case $1 in
	*[0-9]) echo "$1p$2" ;;
	*) echo "$1$2" ;;
	esac
}

# device_of DIR: the device with the file system that is mounted there.
device_of() {
	of=
	while read -r dev dir _; do
		[ "$dir" != "$1" ] || of=$dev
	done < /proc/mounts
	echo "$of"
}

# disk_of PARTITION: the disk that it is part of.
disk_of() {
	case $1 in
	*[0-9]p[0-9]*) echo "${1%p*}" ;;
	*) echo "${1%[0-9]*}" ;;
	esac
}

# root_disk: the disk that holds the root file system.
root_disk() { disk_of "$(device_of /)"; }

# find_state_disk: the first writable disk that is neither the boot disk nor the
# medium. Only that one is ever looked at, and never a later one instead.
find_state_disk() {
	boot=$(root_disk)
	for sys in /sys/block/[sv]d* /sys/block/nvme*; do
		[ -e "$sys" ] || continue
		d=/dev/${sys##*/}
		read -r ro < "$sys/ro"
		[ "$d" != "$boot" ] && [ "$d" != "$MEDIUM" ] && [ "$ro" = 0 ] && echo "$d" && return
	done
}

# is_var DEVICE: does it hold an ext4 labelled var?
is_var() {
	[ "$(/usr/sbin/blkid -p -s TYPE -s LABEL -o export "$1" 2>/dev/null | grep -cE '^(TYPE=ext4|LABEL=var)$')" = 2 ]
}

# is_blank DISK: nothing but zeros, from the first byte to the last. dd seeks over
# zeros instead of writing them, and nothing can be written to /dev/full: it ends
# at the first other byte. Past the page cache, which would make it slow.
is_blank() {
	[ "$(blockdev --getsize64 "$1")" -ge 67108864 ] || return 1
	say "looking whether $1 is blank throughout"
	/usr/bin/dd if="$1" of=/dev/full bs=1M iflag=direct conv=sparse,notrunc status=none 2>/dev/null
}

is_half_formatted() {
	[ "$(dd if="$1" bs=1024 skip=32 count=1 2>/dev/null | head -c ${#FORMATTING})" = "$FORMATTING" ]
}

format_state_disk() {
	say "formatting $1"
	printf %s "$FORMATTING" | dd of="$1" bs=1024 seek=32 conv=fsync,notrunc 2>/dev/null || stop "cannot write to $1"
	printf 'label: gpt\nstart=2048, type=L, name=var\n' | /usr/sbin/sfdisk -q --wipe never "$1" || stop "cannot partition $1"
	/usr/sbin/mke2fs -q -F -t ext4 -L var -m 1 -E lazy_itable_init=1,lazy_journal_init=1,nodiscard "$(part "$1" 1)" ||
		stop "cannot format $1"
	sync
	dd if=/dev/zero of="$1" bs=1024 seek=32 count=1 conv=fsync,notrunc 2>/dev/null
}

# free_behind DISK PARTITION: MiB between the end of the partition and of the disk.
free_behind() {
	sys=/sys/class/block
	read -r size < "$sys/${1##*/}/size"
	read -r start < "$sys/${2##*/}/start"
	read -r len < "$sys/${2##*/}/size"
	echo $(((size - start - len) / 2048))
}

# grow_partition DISK N: give it what lies behind it. True if something changed.
grow_partition() {
	[ "$(free_behind "$1" "$(part "$1" "$2")")" -ge 4 ] || return 1
	say "growing $(part "$1" "$2")"
	echo ', +' | /usr/sbin/sfdisk -q --color=never --no-reread --force -N "$2" "$1" > /run/nixvm/sfdisk.log 2>&1 ||
		{ say "cannot grow: $(tail -n 1 /run/nixvm/sfdisk.log)"; return 1; }
	/usr/bin/partx -u --nr "$2" "$1"
}

# is_short DEVICE: is its ext4 16 MiB or more shorter than the device? A smaller rest
# may be too short for one more block group. The superblock says how long the file
# system is (words 1 and 6 from byte 1024 on, docs of ext4: the blocks, and their size).
is_short() {
	# shellcheck disable=SC2046 # words are meant
	set -- "$1" $(od -An -v -tu4 -j1024 -N28 "$1")
	[ -n "$8" ] && [ $(($(blockdev --getsize64 "$1") - ($3 << ($8 + 10)))) -ge 16777216 ]
}

# grow_fs DEVICE: gives the mounted ext4 on it all of the device.
grow_fs() {
	/usr/sbin/resize2fs "$1" > /run/nixvm/resize.log 2>&1 ||
		{ say "cannot grow $1: $(tail -n 1 /run/nixvm/resize.log)"; return 1; }
}

check_fs() {
	/usr/sbin/e2fsck -p "$1" > /run/nixvm/fsck.log 2>&1
	[ $? -lt 4 ] || say "$1 has errors: $(tail -n 3 /run/nixvm/fsck.log)"
}

mount_state_disk() {
	disk=$(find_state_disk)
	# A bus may still be looking for its disks, for long on a busy host.
	tries=600
	until [ -n "$disk" ] || [ $tries = 0 ]; do
		usleep 100000
		tries=$((tries - 1))
		disk=$(find_state_disk)
	done
	[ -n "$disk" ] || stop "no state disk: this image needs a second disk for /var"
	var=$(part "$disk" 1)
	if [ -b "$var" ] && is_var "$var"; then
		is_half_formatted "$disk" && format_state_disk "$disk"
		grow_partition "$disk" 1
	elif is_var "$disk"; then
		var=$disk
	elif is_half_formatted "$disk" || is_blank "$disk"; then
		format_state_disk "$disk"
	else
		stop "$disk is not blank and holds no file system labelled var: not touching it"
	fi
	check_fs "$var"
	mount -t ext4 -o discard "$var" /var || stop "cannot mount $var on /var"
	! is_short "$var" || grow_fs "$var"
}

lay_out_state() {
	for d in cache home lib log nix spool; do [ -d /var/$d ] || mkdir /var/$d; done
	[ -d /var/tmp ] || mkdir -m 1777 /var/tmp
	[ -d /var/root ] || mkdir -m 700 /var/root
	[ -e /var/run ] || [ -L /var/run ] || ln -s /run /var/run
	[ -e /var/lock ] || [ -L /var/lock ] || ln -s /run/lock /var/lock
	# What is installed is a fact of the image, not of the state.
	[ ! -e $NIXVM/dpkg ] || [ -e /var/lib/dpkg ] || [ -L /var/lib/dpkg ] || ln -s $NIXVM/dpkg /var/lib/dpkg
	mount --bind /var/home /home
	mount --bind /var/root /root
}

# store_content names what the store of the image holds, whatever the image calls
# itself: the digest of its registration, which lists every path with the digest of
# its files. An image without one (it has no nix) goes by its version.
store_content() {
	if [ -f /nix/nixvm-registration ]; then
		sum=$(sha256sum < /nix/nixvm-registration) && echo "sha256:${sum%% *}"
	else
		cat /etc/nixos-image-version
	fi
}

# empty_nix removes what was installed into /nix. First the mark goes: a power cut
# in between leaves no half of it that would be taken for the whole.
empty_nix() {
	rm -f /var/nix/image
	sync
	rm -rf /var/nix/upper /var/nix/work
}

# mend_nix brings back what of the image was deleted from /nix: the overlay has
# noted that as a device that hides it (a whiteout). The database must hear of it.
mend_nix() {
	[ ! -c /var/nix/upper/store ] || rm -f /var/nix/upper/store
	back=0
	for hidden in /var/nix/upper/store/*; do
		[ -c "$hidden" ] && [ -e "/nix/store/${hidden##*/}" ] || continue
		rm -f "$hidden" && back=$((back + 1))
	done
	[ $back = 0 ] && return
	say "$back paths of the image had been deleted from /nix/store: they are back"
	rm -f /var/nix/upper/var/nix/db/nixvm-registered
}

# overlay_nix makes /nix writable; what is written lies on the state disk. It fits
# the store that it was written over and no other (the database in it says what is
# there, and what is not gets deleted by the next garbage collection): over another
# one it starts anew. The store is looked at before anything lies over it.
overlay_nix() {
	content=$(store_content)
	[ -n "$content" ] || { say "cannot tell what /nix holds: it stays read-only"; return; }
	if [ -e /var/nix/upper ] && [ "$(cat /var/nix/image 2>/dev/null)" != "$content" ]; then
		say "another image: what was installed into /nix is removed"
		empty_nix
	fi
	mend_nix
	mkdir -p /var/nix/upper /var/nix/work
	if [ "$(cat /var/nix/image 2>/dev/null)" != "$content" ]; then
		echo "$content" > /var/nix/image.new
		sync
		mv /var/nix/image.new /var/nix/image
		sync
	fi
	/usr/sbin/modprobe -q overlay
	mount -t overlay -o lowerdir=/nix,upperdir=/var/nix/upper,workdir=/var/nix/work overlay /nix || say "cannot make /nix writable"
}

# is_root_writable: is it mounted so? (test -w asks for permissions only.)
is_root_writable() {
	options=
	while read -r _ dir _ now _; do
		[ "$dir" = / ] && options=$now
	done < /proc/mounts
	case $options in rw | rw,*) ;; *) false ;; esac
}

# mount_root_writable: mutable mode. The root grows to its disk here, as nothing
# else uses it yet. An initrd that has mounted it writable has also checked it.
mount_root_writable() {
	boot=$(root_disk)
	root=$(part "$boot" 2)
	if ! is_root_writable; then
		check_fs "$root"
		mount -o remount,rw / || stop "cannot make the root writable"
	fi
	grow_partition "$boot" 2
	! is_short "$root" || grow_fs "$root"
}
