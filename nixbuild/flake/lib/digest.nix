# One name for everything that an image is made from: equal inputs, equal digest.
# Files that change no image (documents, what an editor or an update leaves behind) do not count.
dir:
let
  counts = name: builtins.match "\\..*|.*~|.*\\.(md|new)|result.*" name == null;

  # files dir "" = [ "flake.nix=<sha256>" "lib/default.nix=<sha256>" ... ]
  files =
    dir: prefix:
    let
      entries = builtins.readDir dir;
      one =
        name:
        if entries.${name} == "directory" then
          files (dir + "/${name}") "${prefix}${name}/"
        else if entries.${name} == "regular" then
          [ "${prefix}${name}=${builtins.hashFile "sha256" (dir + "/${name}")}" ]
        else
          # A link: what it leads to is in the flake, and counts there, or is not
          # seen by a build either.
          [ "${prefix}${name}" ];
    in
    builtins.concatMap one (builtins.filter counts (builtins.attrNames entries));

  content = builtins.concatStringsSep "\n" (files dir "");
in
request: builtins.hashString "sha256" "${content}\n${builtins.toJSON request}"
