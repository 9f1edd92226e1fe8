# From what somebody typed to the one form of it: the same image, whatever the
# order. catalogue is what ./profiles.nix returns.
catalogue:
{
  profiles ? [ ],
  mode ? "immutable",
}:
let
  text = import ./text.nix;
  inherit (import ./modes.nix) modes;
  refuse = message: throw "nixvm: ${message}";
  join = builtins.concatStringsSep ", ";

  asked = if builtins.isList profiles then profiles else text.words "," profiles;
  names = [ "core" ] ++ builtins.filter (n: n != "core") (text.unique asked);
  has = name: builtins.elem name names;

  known =
    name:
    catalogue.${name} or (refuse "there is no profile \"${name}\"; the profiles are ${join (builtins.attrNames catalogue)}");

  because = why: if why == "" then "" else ": ${why}";
  complaints =
    profile:
    builtins.concatMap (
      other:
      if has other then
        [ ]
      else
        [ "profile ${profile.name} requires ${other}${because profile.requires.${other}}" ]
    ) (builtins.attrNames profile.requires)
    ++ builtins.concatMap (
      other:
      if has other then [ "profile ${profile.name} conflicts with ${other}${because profile.conflicts.${other}}" ] else [ ]
    ) (builtins.attrNames profile.conflicts);

  found = map known names;
  wrong = builtins.concatMap complaints found;
in
if !(builtins.elem mode modes) then
  refuse "there is no mode \"${mode}\"; the modes are ${join modes}"
else if wrong != [ ] then
  refuse (builtins.head wrong)
else
  {
    profiles = names;
    inherit mode;
    agent = builtins.any (p: p.agent) found;
  }
