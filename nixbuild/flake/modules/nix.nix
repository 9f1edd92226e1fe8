# The nix tools, where /nix can be written.
{
  config,
  lib,
  ...
}:
lib.mkMerge [
  { nix.enable = lib.mkDefault config.nixvm.layout.nix; }
  (lib.mkIf config.nixvm.layout.nix {
    nix.settings = {
      experimental-features = [
        "nix-command"
        "flakes"
      ];
      trusted-users = [ "@wheel" ];
    };
    nix.gc = {
      automatic = lib.mkDefault true;
      dates = lib.mkDefault "weekly";
      options = lib.mkDefault "--delete-older-than 30d";
    };

    # The image is made without running nix: what its store holds is told to the
    # database at the first boot (semi-mutable: at the first of each image).
    systemd.services.nixvm-nix-db = {
      description = "Register what the image's store holds";
      wantedBy = [ "multi-user.target" ];
      requiredBy = [ "nix-daemon.service" ];
      before = [ "nix-daemon.service" ];
      unitConfig.ConditionPathExists = [
        "!/nix/var/nix/db/nixvm-registered"
        "/nix/nixvm-registration"
      ];
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
      };
      path = [ config.nix.package ];
      script = ''
        nix-store --load-db </nix/nixvm-registration
        touch /nix/var/nix/db/nixvm-registered
      '';
    };
  })
]
