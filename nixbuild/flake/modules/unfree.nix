# Unfree packages, each by its name, where a profile says so; no other.
{ config, lib, ... }:
{
  options.nixvm.unfree = lib.mkOption {
    type = lib.types.listOf lib.types.str;
    default = [ ];
    description = "Names of unfree packages that this image may hold.";
  };
  config.nixpkgs.config.allowUnfreePredicate = p: builtins.elem (lib.getName p) config.nixvm.unfree;
}
