# The few paths that programs of other distributions name, and NixOS lacks:
# docs/nixos-images.md says what is here, what NixOS has by itself, and what is left
# out. A root that is read-only has them from the image (image.nix); on a mutable one
# they are made at every boot, as the store paths of its first image do not stay.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.nixvm;
  inherit (pkgs.stdenv.hostPlatform) libDir;
  bash = "${pkgs.bashInteractive}/bin/bash";
  # Where no profile brings the program the link leads nowhere, and what wants it
  # fails as it would without.
  ifInstalled = name: "/run/current-system/sw/bin/${name}";

  # NixOS makes these itself, where the root can be written.
  own = {
    "/bin/sh" = config.environment.binsh;
    "/usr/bin/env" = "${pkgs.coreutils}/bin/env";
  }
  // lib.optionalAttrs (config.environment.ldso != null) {
    "/${libDir}/${baseNameOf pkgs.stdenv.cc.bintools.dynamicLinker}" = config.environment.ldso;
  };
in
{
  options.nixvm.paths = lib.mkOption {
    type = lib.types.attrsOf lib.types.str;
    default = { };
    description = "Links outside of the store, with what they lead to.";
  };

  config = {
    nixvm.paths = {
      "/bin/bash" = bash;
      "/bin/pwd" = "${pkgs.coreutils}/bin/pwd";
      "/bin/true" = "${pkgs.coreutils}/bin/true";
      "/bin/false" = "${pkgs.coreutils}/bin/false";
      "/usr/bin/bash" = bash;
      "/usr/bin/true" = "${pkgs.coreutils}/bin/true";
      "/usr/bin/false" = "${pkgs.coreutils}/bin/false";
      "/usr/bin/perl" = ifInstalled "perl";
      "/usr/bin/python3" = ifInstalled "python3";
      "/usr/share/zoneinfo" = "/etc/zoneinfo";
      # The guest agent looks for it there, when it sets the clock.
      "/sbin/hwclock" = "${pkgs.util-linux}/bin/hwclock";
    };

    system.build.nixvmSkeleton = pkgs.runCommand "nixvm-skeleton" { } (
      lib.concatStrings (
        lib.mapAttrsToList (path: target: ''
          mkdir -p $out${dirOf path}
          ln -s ${target} $out${path}
        '') (own // cfg.paths)
      )
    );

    systemd.tmpfiles.settings = lib.mkIf (!cfg.layout.readOnlyRoot) {
      nixvm-paths = lib.mapAttrs (_: target: { "L+".argument = target; }) cfg.paths;
    };
  };
}
