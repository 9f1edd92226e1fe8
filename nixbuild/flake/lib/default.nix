# What can be asked without nixpkgs: which profiles there are, what a list of
# them means, where things lie in each mode. Needs builtins only, so it answers
# in milliseconds and without a download.
let
  profiles = import ./profiles.nix ../profiles;
in
{
  inherit profiles;
  inherit (import ./modes.nix) modes identity layout;

  # normalise { profiles = [ "dev" "claude" ]; } or { profiles = "dev,claude"; }
  normalise = import ./normalise.nix profiles;

  # request { profiles = ...; mode = ...; system = ...; }: normalised, with the id
  # of the image that it means.
  request = import ./request.nix;

  # The release that flake.lock pins.
  release = "26.05";

  systems = [
    "x86_64-linux"
    "aarch64-linux"
  ];
}
