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

    # Before anything else uses nix. It looks again at every boot: a mark alone says
    # nothing of the store that is below it today.
    systemd.services.nixvm-nix-db = {
      description = "Register what the image's store holds";
      wantedBy = [ "multi-user.target" ];
      requiredBy = [ "nix-daemon.service" ];
      before = [ "nix-daemon.service" ];
      unitConfig.ConditionPathExists = "/nix/nixvm-registration";
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
      };
      path = [ config.nix.package ];
      environment.mode = config.nixvm.mode;
      script = builtins.readFile ./nix/register.sh;
    };
    # What the database does not know is garbage: without it nothing is collected.
    systemd.services.nix-gc = {
      requires = [ "nixvm-nix-db.service" ];
      after = [ "nixvm-nix-db.service" ];
    };
  })
  (lib.mkIf (config.nixvm.layout.nix && config.nixvm.layout.stateDisk) {
    environment.loginShellInit = builtins.readFile ./nix/login.sh + "nixvm_lost\nunset -f nixvm_lost\n";
  })
]
