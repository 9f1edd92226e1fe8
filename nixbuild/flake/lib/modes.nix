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
    };
  };
  onState = builtins.mapAttrs (name: _: "/var/identity/${name}") identity.mutable;

  # layout.<mode>: what is mounted. Partitions are found by the labels that the
  # image builder gives them; "state" is the second disk.
  layout = {
    immutable = {
      readOnlyRoot = true;
      rootFormat = "erofs";
      stateDisk = true;
      nixOverlay = false;
      directBoot = true;
      nix = false;
    };
    semi-mutable = layout.immutable // {
      nixOverlay = true;
      nix = true;
    };
    mutable = {
      readOnlyRoot = false;
      rootFormat = "ext4";
      stateDisk = false;
      nixOverlay = false;
      directBoot = false;
      nix = true;
    };
  };
}
