# Puts the identity into force before init starts. Sourced by preinit. Every
# value is checked first: the files may come from an adopted disk.
# shellcheck shell=dash

bind_machine_id() {
	[ -n "$(machine_id $P_MACHINE_ID)" ] && mount --bind $P_MACHINE_ID /etc/machine-id || say "no valid machine id: a new one every boot"
}

# root_hash: the password hash if it looks like one of crypt(5), else nothing.
root_hash() {
	[ -f $P_ROOT_HASH ] && read -r hash < $P_ROOT_HASH
	case $hash in
	*[!A-Za-z0-9./\$,=+-]*) say "root_password_hash is not a password hash: ignored" ;;
	\$[0-9a-z]*\$*) echo "$hash" ;;
	esac
}

# publish_root_hash leaves the hash, or "!" (no password), for whoever keeps the
# accounts: on NixOS that is not us.
publish_root_hash() {
	hash=$(root_hash)
	(umask 077 && echo "${hash:-!}" > /run/nixvm/root_password_hash)
}

# bind_shadow sets root's password where /etc cannot be written and the accounts
# are part of the image.
bind_shadow() {
	hash=$(root_hash)
	[ -n "$hash" ] && [ -f /etc/shadow ] && [ ! -L /etc/shadow ] || return
	(umask 077 && awk -F: -v OFS=: -v h="$hash" '$1 == "root" { $2 = h } { print }' /etc/shadow > /run/nixvm/shadow)
	chown 0:42 /run/nixvm/shadow && chmod 640 /run/nixvm/shadow && mount --bind /run/nixvm/shadow /etc/shadow
}

apply_hostname() {
	[ -f $P_HOSTNAME ] && read -r name < $P_HOSTNAME
	case $name in
	'' | -* | *- | *[!a-z0-9-]*) name= ;;
	esac
	[ -n "$name" ] && [ ${#name} -le 63 ] || { say "no valid hostname"; name=nixvm; }
	hostname "$name"
}

# apply_hosts: /etc/hosts is a link to this file. Lines that are no address with
# names are left out.
apply_hosts() {
	{
		echo "127.0.0.1 localhost"
		echo "::1 localhost ip6-localhost ip6-loopback"
		echo "127.0.1.1 $name"
		[ ! -f $P_HOSTS ] || grep -E '^[0-9a-fA-F.:]+[[:space:]]+[A-Za-z0-9._[:space:]-]+$' $P_HOSTS
	} > /run/nixvm/hosts.new
	mv /run/nixvm/hosts.new /run/nixvm/hosts
}

# value FILE KEY: what follows KEY= in it, if it is an address or a prefix.
value() { sed -nE "s,^$2=([0-9a-fA-F.:]+(/[0-9]+)?)[[:space:]]*\$,\1,p" "$1" | head -n 1; }

# apply_network: a static address, or DHCP, as the configuration of networkd.
# The tiny variant reads the same facts from $ADDRESS and $GATEWAY.
apply_network() {
	ADDRESS=
	GATEWAY=
	if [ -s $P_STATIC_IP ]; then
		ADDRESS=$(value $P_STATIC_IP address)
		GATEWAY=$(value $P_STATIC_IP gateway)
		[ -n "$ADDRESS" ] || say "static_ip has no valid address: using DHCP"
	fi
	mkdir -p /run/systemd/network
	{
		printf '[Match]\nName=e*\n[Network]\n'
		if [ -n "$ADDRESS" ]; then
			printf 'Address=%s\n' "$ADDRESS"
			[ -z "$GATEWAY" ] || printf 'Gateway=%s\n' "$GATEWAY"
		else
			printf 'DHCP=ipv4\n[DHCPv4]\nClientIdentifier=mac\nUseDomains=yes\n'
		fi
	} > /run/systemd/network/10-nixvm.network
	printf 'ADDRESS=%s\nGATEWAY=%s\n' "$ADDRESS" "$GATEWAY" > /run/nixvm/network
	$NIXVM/resolv
}

make_homes() {
	for u in admin:1000 user:1001; do
		home=/home/${u%%:*}
		[ -d "$home" ] && continue
		rm -rf "$home.new"
		mkdir -p "$home.new" && { [ ! -d /etc/skel ] || cp -R /etc/skel/. "$home.new"; } && chown -R "${u##*:}:${u##*:}" "$home.new" && chmod 700 "$home.new" && mv "$home.new" "$home"
	done
}
