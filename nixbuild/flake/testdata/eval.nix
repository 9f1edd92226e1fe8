# Evaluates our modules with the real nixpkgs library and stubs for everything
# else: any option may be set, packages are names. What comes out is what our
# modules say, and that they can be merged; whether NixOS has the options is for
# an evaluation with NixOS itself (make test-nixos).
{
  flake,
  nixpkgsLib,
  profiles ? "",
  mode ? "immutable",
  extra ? "{ }",
}:
let
  lib = import nixpkgsLib;
  pure = import (flake + "/lib");
  wanted = pure.request { inherit profiles mode; };
  pkgs = import ./pkgs.nix lib;

  # Any option: sets merge by attribute, lists and texts of several modules add up,
  # of everything else there may be one value.
  texts = [
    "extraConfig"
    "extraInit"
    "interactiveShellInit"
    "loginShellInit"
  ];
  anyOption = lib.mkOptionType {
    name = "any option";
    check = _: true;
    merge =
      loc: defs:
      let
        values = map (d: d.value) defs;
      in
      if lib.all lib.isList values then
        lib.concatLists values
      else if lib.all (v: lib.isAttrs v && !(lib.isDerivation v)) values then
        (lib.types.attrsOf anyOption).merge loc defs
      else if lib.elem (lib.last loc) texts then
        lib.concatStringsSep "\n" values
      else
        lib.mergeEqualOption loc defs;
  };

  nixos =
    { config, ... }:
    {
      freeformType = lib.types.lazyAttrsOf anyOption;
      # Declared by NixOS, and once more by one of our modules.
      options.systemd.tmpfiles.rules = lib.mkOption {
        type = lib.types.listOf lib.types.str;
        default = [ ];
      };
      # What our modules read of NixOS.
      config = {
        networking.firewall = {
          allowedTCPPorts = lib.mkDefault [ ];
          allowedUDPPorts = lib.mkDefault [ ];
          allowedTCPPortRanges = lib.mkDefault [ ];
          allowedUDPPortRanges = lib.mkDefault [ ];
        };
        nix.package = pkgs.nix;
        virtualisation.docker.enable = lib.mkDefault false;
        environment.binsh = "${pkgs.bash}/bin/sh";
        environment.ldso = "${pkgs.bash}/nix-ld";
        # As NixOS has them for it (config/ldso.nix).
        systemd.tmpfiles.rules = [
          "d /lib64 0755 root root - -"
          "L+ /lib64/ld-linux-x86-64.so.2 - - - - ${pkgs.bash}/nix-ld"
          "d /library 0755 root root - -"
        ];
        boot.kernelPackages.kernel = pkgs.linux;
        boot.initrd.systemd.emergencyAccess = lib.mkDefault false;
        system.boot.loader = {
          kernelFile = "bzImage";
          initrdFile = "initrd";
        };
        system.nixos.version = "26.05.stub";
        system.build = {
          toplevel = pkgs.toplevel;
          initialRamdisk = pkgs.initrd;
          image = pkgs.image;
        };
        home-manager.users.user.home.activationPackage = pkgs.home-manager-generation;
        _module.args = { inherit pkgs; };
      };
    };

  evaluated = lib.evalModules {
    specialArgs = {
      inputs = {
        self = pkgs.flake;
        home-manager.nixosModules.home-manager = { };
      };
      modulesPath = toString ./.;
    };
    modules = [
      nixos
      (flake + "/modules")
      {
        nixvm = {
          inherit (wanted) mode profiles;
          version = "26.05-test";
          imageId = "nixos-${mode}-test";
          blockPrivateNetworks = wanted.agent;
        };
      }
      (import (builtins.toFile "extra.nix" extra))
    ]
    ++ map (name: flake + "/${pure.profiles.${name}.file}") wanted.profiles;
  };
  inherit (evaluated) config;

  # Files in /etc by what they say or link to.
  etc = lib.mapAttrs (_: f: f.text or f.source) config.environment.etc;
in
{
  inherit config etc;

  # What a reader of the goldens wants to see change, and no more.
  golden = {
    inherit etc;
    inherit (config) fileSystems users;
    initrdUnits = config.boot.initrd.systemd.services;
    inherit (config.boot) kernelParams;
    kernelModules = config.boot.initrd.kernelModules;
    partitions = config.image.repart.partitions;
    ssh = config.services.openssh;
    units = lib.mapAttrs (_: u: removeAttrs u [ "path" ]) config.systemd.services;
    inherit (config.systemd) paths;
    inherit (config.systemd) tmpfiles;
    links = config.nixvm.paths;
    etcOverlay = config.system.etc.overlay or { };
    nix = config.nix.enable;
    failed = map (a: a.message) (lib.filter (a: !a.assertion) (config.assertions or [ ]));
  };

  # Two derivations, to be run by a test.
  guest = {
    inherit (config.nixvm.guest) script;
    inherit (config.nixvm.guest.attrs) places;
  };
  image = {
    inherit (config.system.build.nixvmImage) script;
    inherit (config.system.build.nixvmImage.attrs) description;
  };

  skeleton = {
    inherit (config.system.build.nixvmSkeleton) script;
  };

  ports = {
    tcp = config.nixvm.guest.attrs.tcpPorts;
    udp = config.nixvm.guest.attrs.udpPorts;
  };

  packages = lib.naturalSort (lib.unique (map toString config.environment.systemPackages));
}
