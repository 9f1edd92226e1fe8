# A root that cannot be written: /etc is an overlay of the store, accounts are kept
# on the state disk, nothing is created in / at boot. Also the semi-mutable mode.
{
  config,
  lib,
  ...
}:
lib.mkIf config.nixvm.layout.readOnlyRoot {
  system.etc.overlay = {
    enable = true;
    mutable = false;
  };
  services.userborn.enable = true;
  users.mutableUsers = false;

  # These would be written into /; the image has them already (image.nix).
  system.activationScripts.binsh = lib.mkForce "";
  system.activationScripts.usrbinenv = lib.mkForce "";

  # What NixOS still finds that it cannot write is no reason not to boot.
  boot.initrd.systemd.services.initrd-nixos-activation.serviceConfig.SuccessExitStatus = "1";

  environment.etc = {
    # ../guest binds the identity's over it before anybody reads it.
    "machine-id" = {
      text = "";
      mode = "0444";
    };
    hostname.source = config.nixvm.identity.hostname;
    # Without a place for it hwclock fails, and with it the guest agent when it sets
    # the time.
    adjtime.source = "/run/nixvm/adjtime";
  };

  # The image is replaced as a whole, from the host.
  system.switch.enable = false;
  system.disableInstallerTools = true;
  systemd.services.systemd-boot-random-seed.enable = false;
}
