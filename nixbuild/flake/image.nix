# One image, by arguments: what nixvmd builds. The values are data, never part of
# an expression:
#
#   nix build -f image.nix image --argstr profiles claude,dev --argstr mode immutable
#   nix eval --json -f image.nix request --argstr profiles claude,dev
{
  profiles ? "",
  mode ? "immutable",
  system ? "x86_64-linux",
}:
{
  request = import ./lib/request.nix { inherit profiles mode system; };
  image = (builtins.getFlake "path:${toString ./.}").lib.mkImage { inherit profiles mode system; };
}
