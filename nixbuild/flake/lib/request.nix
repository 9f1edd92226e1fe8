# A request for an image, checked and in its one form, with the names of the image
# that answers it. nixvmd makes the same id of the same files by itself, where there
# may be no nix (nixbuild/nixos): they change together.
{
  profiles ? [ ],
  mode ? "immutable",
  system ? "x86_64-linux",
}:
let
  pure = import ./.;
  wanted = pure.normalise { inherit profiles mode; } // {
    inherit system;
  };
  digest = import ./digest.nix ../. wanted;
in
if !(builtins.elem system pure.systems) then
  throw "nixvm: there is no system \"${system}\"; the systems are ${builtins.concatStringsSep ", " pure.systems}"
else
  wanted
  // {
    id = "nixos-${mode}-${builtins.substring 0 16 digest}";
    version = "${pure.release}-${builtins.substring 0 12 digest}";
  }
