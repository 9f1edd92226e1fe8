# The three modes, as docs/guest-contract.md has them: where the identity lies
# and what is mounted.
rec {
  modes = [
    "immutable"
    "semi-mutable"
    "mutable"
  ];

  # identity.<mode>: file on the identity medium -> its place in the guest.
  identity = {
    immutable = onState;
    semi-mutable = onState;
    mutable = {
      hostname = "/etc/hostname";
      machine-id = "/etc/machine-id";
      ssh_host_ed25519_key = "/etc/ssh/ssh_host_ed25519_key";
      admin_authorized_keys = "/etc/ssh/authorized_keys.d/admin";
      user_authorized_keys = "/etc/ssh/authorized_keys.d/user";
      tcp_ports = "/etc/firewall-ports/tcp_ports";
      udp_ports = "/etc/firewall-ports/udp_ports";
      allowed_cidrs = "/etc/firewall-ports/allowed_cidrs";
      static_ip = "/etc/network-config/static_ip";
      "resolv.conf" = "/etc/network-config/resolv.conf";
      hosts = "/etc/network-config/hosts";
      root_password_hash = "/etc/root_password_hash";
      "ca-cert.pem" = "/etc/nixvm/ca-cert.pem";
    };
  };
  onState = builtins.mapAttrs (name: _: "/var/identity/${name}") identity.mutable;

  # layout.<mode>: what the modules ask of a mode. The state disk is the second one,
  # for /var; nix says whether the nix tools work.
  layout = {
    immutable = {
      readOnlyRoot = true;
      rootFormat = "erofs";
      stateDisk = true;
      directBoot = true;
      nix = false;
    };
    # /nix is made writable by ../guest, which knows the mode.
    semi-mutable = layout.immutable // {
      nix = true;
    };
    mutable = {
      readOnlyRoot = false;
      rootFormat = "ext4";
      stateDisk = false;
      directBoot = false;
      nix = true;
    };
  };
}
