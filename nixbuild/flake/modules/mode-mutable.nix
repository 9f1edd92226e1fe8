# One disk, read-write: a NixOS like any other, upgraded from inside.
{
  config,
  inputs,
  lib,
  pkgs,
  ...
}:
let
  # What `nixos-rebuild switch` builds: the machine, from a copy of this flake, with
  # the profiles of its image and a place for what its owner adds.
  machine = pkgs.writeText "machine.nix" ''
    # This machine. Its owner edits configuration.nix, then: sudo nixos-rebuild switch
    mkSystem: {
      "@hostname@" = mkSystem {
        mode = "mutable";
        system = "${pkgs.stdenv.hostPlatform.system}";
        profiles = "${lib.concatStringsSep "," config.nixvm.profiles}";
        modules = [ ./configuration.nix ];
      };
    }
  '';
  configuration = pkgs.writeText "configuration.nix" ''
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
    unitConfig.ConditionPathExists = "!/etc/nixos/machine.nix";
    serviceConfig.Type = "oneshot";
    path = [ config.nix.package ];
    script = ''
      nix-env --profile /nix/var/nix/profiles/system --set "$(readlink -f /run/current-system)"
      mkdir -p /etc/nixos
      cp -R --no-preserve=mode ${inputs.self}/. /etc/nixos
      cp --no-preserve=mode ${configuration} /etc/nixos/configuration.nix
      # The name was checked before the host got it (guest/apply.sh).
      sed "s/@hostname@/$(cat /proc/sys/kernel/hostname)/" ${machine} >/etc/nixos/machine.nix.new
      mv /etc/nixos/machine.nix.new /etc/nixos/machine.nix
    '';
  };
}
