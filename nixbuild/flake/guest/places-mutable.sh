# Where the identity lies when the root is writable: in /etc, owned by the guest
# after its first boot, or the first one of a copy of its disk. Sourced.
# shellcheck shell=dash disable=SC2034
P_DIR=
P_HOSTNAME=/etc/hostname
P_MACHINE_ID=/etc/machine-id
P_HOST_KEY=/etc/ssh/ssh_host_ed25519_key
P_ADMIN_KEYS=/etc/ssh/authorized_keys.d/admin
P_USER_KEYS=/etc/ssh/authorized_keys.d/user
P_TCP_PORTS=/etc/firewall-ports/tcp_ports
P_UDP_PORTS=/etc/firewall-ports/udp_ports
P_ALLOWED_CIDRS=/etc/firewall-ports/allowed_cidrs
P_STATIC_IP=/etc/network-config/static_ip
P_RESOLV_CONF=/etc/network-config/resolv.conf
P_HOSTS=/etc/network-config/hosts
P_CA_CERT=/etc/nixvm/ca-cert.pem
P_ROOT_HASH=/etc/root_password_hash
P_PROVISIONED=/etc/nixvm/provisioned # the generation, and the machine id of that medium
