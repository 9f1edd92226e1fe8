# Keys only, never root, never anybody else; only the host key of the identity.
{ config, lib, ... }:
let
  inherit (config.nixvm) identity;
  keys = builtins.replaceStrings [ "admin" ] [ "%u" ] identity.admin_authorized_keys;
in
{
  # It would have no key to make, and without a command it is no valid unit.
  systemd.services.sshd-keygen.enable = false;

  services.openssh = {
    enable = true;
    # guest/firewall opens 22 itself, also where its other rules fail.
    openFirewall = false;
    # NixOS would make keys of its own here: a host with another key is another host.
    hostKeys = lib.mkForce [ ];
    authorizedKeysFiles = lib.mkForce [ keys ];
    settings = {
      PermitRootLogin = "no";
      AllowUsers = [
        "admin"
        "user"
      ];
      AuthenticationMethods = "publickey";
      PasswordAuthentication = false;
      KbdInteractiveAuthentication = false;
      X11Forwarding = false;
      UseDns = false;
    };
    extraConfig = ''
      HostKey ${identity.ssh_host_ed25519_key}
      AllowTcpForwarding yes
      AllowStreamLocalForwarding yes
      # A forward that is set up again after a lost connection takes over its socket.
      StreamLocalBindUnlink yes
      AllowAgentForwarding no
      ClientAliveInterval 30
      ClientAliveCountMax 4
      PrintLastLog no
      MaxStartups 30:30:100
      MaxSessions 64
    '';
  };
}
