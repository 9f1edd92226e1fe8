# Where the identity lies when the root is read-only: on the state disk. Sourced.
# shellcheck shell=dash disable=SC2034
P_DIR=/var/identity
P_HOSTNAME=$P_DIR/hostname
P_MACHINE_ID=$P_DIR/machine-id
P_HOST_KEY=$P_DIR/ssh_host_ed25519_key
P_ADMIN_KEYS=$P_DIR/admin_authorized_keys
P_USER_KEYS=$P_DIR/user_authorized_keys
P_TCP_PORTS=$P_DIR/tcp_ports
P_UDP_PORTS=$P_DIR/udp_ports
P_ALLOWED_CIDRS=$P_DIR/allowed_cidrs
P_STATIC_IP=$P_DIR/static_ip
P_RESOLV_CONF=$P_DIR/resolv.conf
P_HOSTS=$P_DIR/hosts
P_CA_CERT=$P_DIR/ca-cert.pem
P_ROOT_HASH=$P_DIR/root_password_hash
P_PROVISIONED=
