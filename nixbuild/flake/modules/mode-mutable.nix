# One disk, read-write: a NixOS like any other, upgraded from inside.
{
  config,
  inputs,
  lib,
  pkgs,
  ...
}:
let
  # What `nixos-rebuild switch` builds: this flake, with the profiles of the image
  # and a place for what the machine's owner adds.
  start = pkgs.writeText "flake.nix" ''
    # This machine. Edit configuration.nix beside, then: sudo nixos-rebuild switch
    # Newer packages: sudo nix flake update --flake /etc/nixos
    {
      inputs.nixvm.url = "path:/etc/nixos/nixvm";
      outputs =
        { nixvm, ... }:
        {
          nixosConfigurations."@hostname@" = nixvm.lib.mkSystem {
            mode = "mutable";
            system = "${pkgs.stdenv.hostPlatform.system}";
            profiles = builtins.fromJSON '''${builtins.toJSON config.nixvm.profiles}''';
            modules = [ ./configuration.nix ];
          };
        };
    }
  '';
  own = pkgs.writeText "configuration.nix" ''
    { pkgs, ... }:
    {
      environment.systemPackages = with pkgs; [ ];
    }
  '';
in
lib.mkIf (!config.nixvm.layout.readOnlyRoot) {
  boot.loader.systemd-boot.enable = true;
  fileSystems."/boot" = {
    device = "/dev/disk/by-partlabel/nixvm-esp";
    fsType = "vfat";
    options = [ "umask=0077" ];
  };
  users.mutableUsers = lib.mkDefault true;

  # Once: the profile that nixos-rebuild counts up from, and a configuration.
  systemd.services.nixvm-nixos = {
    description = "A NixOS configuration to start from";
    wantedBy = [ "multi-user.target" ];
    after = [ "nixvm-nix-db.service" ];
    unitConfig.ConditionPathExists = "!/etc/nixos/flake.nix";
    serviceConfig.Type = "oneshot";
    path = [ config.nix.package ];
    script = ''
      nix-env --profile /nix/var/nix/profiles/system --set "$(readlink -f /run/current-system)"
      mkdir -p /etc/nixos/nixvm
      cp -R --no-preserve=mode ${inputs.self}/. /etc/nixos/nixvm
      [ -e /etc/nixos/configuration.nix ] || cp --no-preserve=mode ${own} /etc/nixos/configuration.nix
      # The name was checked before the host got it (guest/apply.sh).
      sed "s/@hostname@/$(cat /proc/sys/kernel/hostname)/" ${start} >/etc/nixos/flake.nix.new
      mv /etc/nixos/flake.nix.new /etc/nixos/flake.nix
    '';
  };
}
