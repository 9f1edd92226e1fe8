# What the rest of the modules is told: by lib/build.nix, and by profiles.
{ lib, config, ... }:
let
  inherit (lib) mkOption types;
  pure = import ../lib;
in
{
  options.nixvm = {
    mode = mkOption {
      type = types.enum pure.modes;
      default = "immutable";
      description = "What of the guest can be written: see docs/guest-contract.md.";
    };
    profiles = mkOption {
      type = types.listOf types.str;
      default = [ "core" ];
      description = "The profiles of this image, in their one order.";
    };
    version = mkOption {
      type = types.str;
      default = pure.release;
      description = "The content of /etc/nixos-image-version.";
    };
    imageId = mkOption {
      type = types.str;
      default = "nixos-${config.nixvm.mode}-unnamed";
      description = "The id in image.json.";
    };
    blockPrivateNetworks = mkOption {
      type = types.bool;
      default = false;
      description = "Refuse what goes out to private networks, as the agent profiles do.";
    };

    kernel = mkOption {
      type = types.enum [
        "default"
        "latest"
      ];
      default = "default";
      description = ''
        "default": the kernel of this NixOS release, with long support. "latest": the
        newest one that nixpkgs has (linuxPackages_latest).
      '';
    };

    layout = mkOption {
      type = types.attrs;
      readOnly = true;
      default = pure.layout.${config.nixvm.mode};
      description = "What is mounted in this mode: lib/modes.nix.";
    };
    identity = mkOption {
      type = types.attrs;
      readOnly = true;
      default = pure.identity.${config.nixvm.mode};
      description = "Where the identity lies in this mode: lib/modes.nix.";
    };
  };
}
