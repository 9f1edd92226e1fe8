# The identity medium: an ISO 9660 volume labelled NIXVMID. Sourced by preinit.
# What it holds is data: it is copied and checked, never executed or sourced.
# shellcheck shell=dash

IDENTITY_FILES="hostname machine-id ssh_host_ed25519_key admin_authorized_keys user_authorized_keys
tcp_ports udp_ports allowed_cidrs static_ip resolv.conf hosts root_password_hash ca-cert.pem"
SECRET_FILES="ssh_host_ed25519_key root_password_hash"
SUMS_FILE=sha256sums # the digests of the others; not on a medium of an earlier nixvmd
MEDIUM_DIR=/run/nixvm/medium
IN_FORCE=/run/nixvm/identity-in-force # a copy of SUMS_FILE
MEDIUM=

# scan_medium sets MEDIUM to the drive whose volume descriptor (ECMA-119, sector
# 16: label at byte 40) names our volume.
scan_medium() {
	for sys in /sys/block/[sv]d* /sys/block/sr* /sys/block/nvme*; do
		[ -e "$sys" ] || continue
		d=/dev/${sys##*/}
		[ "$(dd if="$d" bs=8 skip=4101 count=1 2>/dev/null)" = "NIXVMID " ] && MEDIUM=$d && return
	done
	false
}

find_medium() {
	if ! scan_medium; then
		# A CD drive needs more drivers than a virtio disk. They are loaded only
		# when needed: they cost time.
		/usr/sbin/modprobe -aq virtio_scsi ata_piix ahci sr_mod cdrom 2>/dev/null
		tries=100
		until scan_medium || [ $tries = 0 ]; do usleep 100000; tries=$((tries - 1)); done
	fi
	[ -n "$MEDIUM" ] || { say "no identity medium"; return; }
	/usr/sbin/modprobe -q isofs
	mount_medium
}

mount_medium() {
	mkdir -p $MEDIUM_DIR && chmod 700 $MEDIUM_DIR
	mount -t iso9660 -o ro,nosuid,nodev,noexec "$MEDIUM" $MEDIUM_DIR || { say "cannot mount the identity medium"; MEDIUM=; }
}

release_medium() { [ -z "$MEDIUM" ] || { umount $MEDIUM_DIR && rmdir $MEDIUM_DIR; }; }

# generation FILE: the number in it, or nothing.
generation() {
	[ -f "$1" ] && read -r g < "$1"
	case $g in '' | *[!0-9]*) ;; *) echo "$g" ;; esac
	g=
}

# machine_id FILE: the machine id in it, or nothing.
machine_id() {
	id=
	[ -f "$1" ] && read -r id < "$1"
	case $id in *[!0-9a-f]*) ;; ????????????????????????????????) echo "$id" ;; esac
}

# new_seed: two machines must not begin with the same random numbers.
new_seed() { rm -f /var/lib/systemd/random-seed; }

# take NAME TARGET: copies one file of the medium, if it is there and sane.
take() {
	[ -f "$MEDIUM_DIR/$1" ] && [ ! -L "$MEDIUM_DIR/$1" ] || return 1
	[ "$(stat -c %s "$MEDIUM_DIR/$1")" -le 65536 ] || { say "identity file $1 is larger than 64 KiB: ignored"; return 1; }
	mode=644
	case " $SECRET_FILES " in *" $1 "*) mode=600 ;; esac
	(umask 077 && cat "$MEDIUM_DIR/$1" > "$2") && chmod $mode "$2"
}

# take_all DIR: copies every file of the medium that is there and sane. As few
# processes as possible: each is a good part of a second in an emulated guest.
take_all() {
	there=
	for n in $IDENTITY_FILES $SUMS_FILE; do
		[ ! -f "$MEDIUM_DIR/$n" ] || [ -L "$MEDIUM_DIR/$n" ] || there="$there $n"
	done
	sane=
	open=
	for entry in $(cd $MEDIUM_DIR && stat -c %s:%n $there); do
		n=${entry#*:}
		[ "${entry%%:*}" -le 65536 ] || { say "identity file $n is larger than 64 KiB: ignored"; continue; }
		sane="$sane $n"
		case " $SECRET_FILES $SUMS_FILE " in *" $n "*) ;; *) open="$open $n" ;; esac
	done
	(umask 077 && cd $MEDIUM_DIR && cp $sane "$1") && (cd "$1" && chmod 644 $open)
}

# is_whole DIR: has it every file that the medium was made with, unchanged?
is_whole() { [ ! -f "$1/$SUMS_FILE" ] || (cd "$1" && sha256sum -c $SUMS_FILE) > /dev/null 2>&1; }

# refresh_identity replaces /var/identity as a whole when the medium has another
# generation. A power cut leaves the old set or the new one: the new directory is
# complete on disk (generation last) before anything is renamed, and a boot that
# finds no /var/identity takes the complete new one. Only what is written here is
# waited for, not all that the guest has yet to write. It fails when nothing usable
# is on the medium.
refresh_identity() {
	if [ ! -d $P_DIR ] && [ -n "$(generation $P_DIR.new/generation)" ]; then mv $P_DIR.new $P_DIR; fi
	new=$(generation $MEDIUM_DIR/generation)
	[ -n "$new" ] || { say "the identity medium has no generation: ignored"; return 1; }
	[ "$new" != "$(generation $P_DIR/generation)" ] || return 0
	rm -rf $P_DIR.new
	mkdir $P_DIR.new
	if ! take_all $P_DIR.new || ! is_whole $P_DIR.new; then
		say "the identity medium is damaged, or was being written: ignored"
		rm -rf $P_DIR.new
		return 1
	fi
	[ "$(machine_id $MEDIUM_DIR/machine-id)" = "$(machine_id $P_DIR/machine-id)" ] || new_seed
	/usr/bin/sync $P_DIR.new/* $P_DIR.new
	echo "$new" > $P_DIR.new/generation
	/usr/bin/sync $P_DIR.new/generation $P_DIR.new "${P_DIR%/*}"
	rm -rf $P_DIR.old
	[ ! -e $P_DIR ] || mv $P_DIR $P_DIR.old
	mv $P_DIR.new $P_DIR
	/usr/bin/sync "${P_DIR%/*}"
	rm -rf $P_DIR.old
	say "identity generation $new"
}

# in_force notes which identity this boot has applied, for apply-identity.
in_force() {
	rm -f $IN_FORCE
	[ ! -f $P_DIR/$SUMS_FILE ] || (umask 077 && cp $P_DIR/$SUMS_FILE $IN_FORCE)
}

# place NAME TARGET: one file of the medium into /etc, whole or not at all.
place() {
	rm -f "$2.nixvm-new"
	mkdir -p "${2%/*}"
	if take "$1" "$2.nixvm-new"; then mv "$2.nixvm-new" "$2"; fi
}

# is_provisioned: mutable mode. Has this machine given the guest its identity? On
# a copy of another machine's disk that one has: the mark names it. (A mark of
# earlier programs names none; what they wrote is in /etc.)
is_provisioned() {
	[ -e $P_PROVISIONED ] || return 1
	ours=$(machine_id $MEDIUM_DIR/machine-id)
	of=$(sed -n 2p $P_PROVISIONED)
	[ -z "$ours" ] || [ "$ours" = "${of:-$(machine_id $P_MACHINE_ID)}" ]
}

# provision: mutable mode, once for each machine. The mark is written when all the
# rest is on disk, so a power cut before that means that it is done again.
provision() {
	[ -n "$MEDIUM" ] || return
	new_seed
	place hostname $P_HOSTNAME
	place machine-id $P_MACHINE_ID
	place ssh_host_ed25519_key $P_HOST_KEY
	place admin_authorized_keys $P_ADMIN_KEYS
	place user_authorized_keys $P_USER_KEYS
	place tcp_ports $P_TCP_PORTS
	place udp_ports $P_UDP_PORTS
	place allowed_cidrs $P_ALLOWED_CIDRS
	place static_ip $P_STATIC_IP
	place resolv.conf $P_RESOLV_CONF
	place hosts $P_HOSTS
	place root_password_hash $P_ROOT_HASH
	place ca-cert.pem $P_CA_CERT
	hash=$(root_hash)
	[ -z "$hash" ] || [ ! -f /etc/shadow ] || printf 'root:%s\n' "$hash" | /usr/sbin/chpasswd -e
	mkdir -p "${P_PROVISIONED%/*}"
	sync
	{ generation $MEDIUM_DIR/generation && machine_id $MEDIUM_DIR/machine-id; } > $P_PROVISIONED.new
	mv $P_PROVISIONED.new $P_PROVISIONED
	sync
	say "identity generation $(head -n 1 $P_PROVISIONED), now owned by the guest"
}
