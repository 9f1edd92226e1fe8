# From a request to a NixOS system and its image. inputs are those of the flake.
inputs:
let
  request = import ./request.nix;
  pure = import ./.;

  # mkSystem: a NixOS configuration. modules are added last, for whoever builds on
  # this flake from another one.
  mkSystem =
    {
      profiles ? [ ],
      mode ? "immutable",
      system ? "x86_64-linux",
      modules ? [ ],
    }:
    let
      wanted = request { inherit profiles mode system; };
    in
    inputs.nixpkgs.lib.nixosSystem {
      specialArgs = { inherit inputs; };
      modules = [
        ../modules
        {
          nixpkgs.hostPlatform = system;
          nixvm = {
            inherit (wanted) mode profiles version;
            imageId = wanted.id;
            blockPrivateNetworks = wanted.agent;
          };
        }
      ]
      ++ map (name: ../. + "/${pure.profiles.${name}.file}") wanted.profiles
      ++ modules;
    };
in
{
  inherit mkSystem;

  # mkImage: a derivation; README.md says what its output holds.
  mkImage = args: (mkSystem args).config.system.build.nixvmImage;
}
