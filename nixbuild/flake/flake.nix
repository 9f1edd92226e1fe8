{
  description = "NixOS images for nixvm: composable profiles, three modes";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
    home-manager = {
      url = "github:nix-community/home-manager/release-26.05";
      inputs.nixpkgs.follows = "nixpkgs";
    };

    # The home-manager profile takes sway-home's modules from here when this is
    # not a comment; then run: nix flake lock
    #
    # sway-home = {
    #   url = "github:EnigmaCurry/sway-home?dir=home-manager";
    #   inputs.nixpkgs.follows = "nixpkgs";
    # };
  };

  outputs =
    inputs:
    let
      pure = import ./lib;
      build = import ./lib/build.nix inputs;
      eachSystem =
        f:
        builtins.listToAttrs (
          map (system: {
            name = system;
            value = f system;
          }) pure.systems
        );
      # A profile with all that it requires: an image on its own.
      alone =
        profile:
        map (item: item.key) (
          builtins.genericClosure {
            startSet = [ { key = profile; } ];
            operator = item: map (key: { inherit key; }) (builtins.attrNames (pure.profiles.${item.key} or { requires = { }; }).requires);
          }
        );
    in
    {
      lib = pure // {
        inherit (build) mkSystem mkImage;
      };

      packages = eachSystem (
        system:
        builtins.mapAttrs (
          name: _:
          build.mkImage {
            inherit system;
            profiles = alone name;
          }
        ) pure.profiles
        // {
          default = build.mkImage { inherit system; };
        }
      );

      # <profile>, <profile>-mutable, <profile>-aarch64 ...: for a look at what a
      # profile does. In a mutable guest also the machine itself, by its name, for
      # nixos-rebuild: modules/mode-mutable.nix writes machine.nix there.
      nixosConfigurations = builtins.listToAttrs (
        builtins.concatMap (
          name:
          builtins.concatMap (
            mode:
            map (system: {
              name =
                name
                + (if mode == "immutable" then "" else "-${mode}")
                + (if system == "aarch64-linux" then "-aarch64" else "");
              value = build.mkSystem {
                inherit mode system;
                profiles = alone name;
              };
            }) pure.systems
          ) pure.modes
        ) (builtins.attrNames pure.profiles)
      )
      // (if builtins.pathExists ./machine.nix then import ./machine.nix build.mkSystem else { });

      nixosModules.default = {
        imports = [ ./modules ];
        _module.args = { inherit inputs; };
      };
    };
}
