# Home-manager for the account user, with sway-home's modules where flake.nix has them
{
  config,
  inputs,
  lib,
  pkgs,
  ...
}:
let
  swayHome = inputs.sway-home or null;
  generation = config.home-manager.users.user.home.activationPackage;
in
{
  imports = [ inputs.home-manager.nixosModules.home-manager ];

  home-manager = {
    useGlobalPkgs = true;
    useUserPackages = true;
    backupFileExtension = "before-home-manager";
    extraSpecialArgs = lib.optionalAttrs (swayHome != null) {
      inputs = swayHome.inputs;
      userName = "user";
    };
    users.user = {
      imports = lib.optionals (swayHome != null) [
        swayHome.inputs.nix-flatpak.homeManagerModules.nix-flatpak
        swayHome.homeModules.baseline
        swayHome.homeModules.home
        swayHome.homeModules.emacs
        swayHome.homeModules.nixos-vm-template
      ];
      programs.home-manager.enable = config.nixvm.layout.nix;
      programs.bash.enable = lib.mkDefault true;
      programs.git.enable = lib.mkDefault true;
      programs.direnv.enable = lib.mkDefault true;
      home.stateVersion = lib.mkDefault (import ../../lib).release;
    };
  };

  # Where nix cannot write, home-manager's own activation cannot either: its files
  # are linked without it.
  systemd.services.home-manager-user = lib.mkIf (!config.nixvm.layout.nix) {
    serviceConfig.ExecStart = lib.mkForce (
      lib.getExe (
        pkgs.writeShellApplication {
          name = "nixvm-link-home";
          runtimeInputs = [
            pkgs.coreutils
            pkgs.findutils
          ];
          text = builtins.readFile ./link.sh;
        }
      )
      + " ${generation}/home-files"
    );
  };
}
