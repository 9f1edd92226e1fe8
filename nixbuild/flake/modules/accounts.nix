# admin (sudo without a password) and user (none). Their keys are part of the
# identity, so no account has a password or key here.
{ config, lib, ... }:
{
  users = {
    users.admin = {
      isNormalUser = true;
      uid = 1000;
      group = "admin";
      extraGroups = [
        "wheel"
        "systemd-journal"
      ];
      subUidRanges = lib.mkDefault [ { startUid = 100000; count = 65536; } ];
      subGidRanges = lib.mkDefault [ { startGid = 100000; count = 65536; } ];
    };
    users.user = {
      isNormalUser = true;
      uid = 1001;
      group = "user";
      subUidRanges = lib.mkDefault [ { startUid = 200000; count = 65536; } ];
      subGidRanges = lib.mkDefault [ { startGid = 200000; count = 65536; } ];
    };
    groups.admin.gid = 1000;
    groups.user.gid = 1001;

    # Checked and written by ../guest at every boot: the hash, or "!" for none. On a
    # mutable guest NixOS reads it when it creates the account, and never again.
    users.root.hashedPasswordFile = "/run/nixvm/root_password_hash";
    allowNoPasswordLogin = true;
  };

  security.sudo = {
    enable = true;
    wheelNeedsPassword = false;
    # user is in no group that could.
    execWheelOnly = true;
  };

  # Not the image's to say: ../guest sets it from the identity.
  networking.hostName = lib.mkDefault "";
}
