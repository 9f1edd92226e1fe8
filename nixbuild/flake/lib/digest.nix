# One name for everything that an image is made from: equal inputs, equal digest.
# Every file counts, as a profile may use any. What does not is named here, and by
# nixvmd in the same words (nixbuild/nixos/files.go): its tests hold the two together.
dir:
let
  # What version control, direnv, nixvmd and editors keep beside.
  beside = name: builtins.match "\\.(git|hg|jj|svn|direnv|shipped)|.*~|\\.#.*|#.*#|\\..*\\.sw[a-p]" name != null;

  # What nix build leaves.
  built = type: name: type == "symlink" && builtins.match "result(-.*)?" name != null;

  counts =
    entries: prefix: name:
    let
      isFile = name: entries.${name} or "directory" != "directory" && !(beside name || built entries.${name} name);
      newer = builtins.match "(.+)\\.new" name;
    in
    !(
      beside name
      || built entries.${name} name
      # The flake's own document.
      || prefix == "" && name == "README.md"
      # What an update has put beside a file that was changed.
      || newer != null && entries.${name} != "directory" && isFile (builtins.head newer)
    );

  # files dir "" = [ "flake.nix=<sha256>" "lib/default.nix=<sha256>" ... ]
  files =
    dir: prefix:
    let
      entries = builtins.readDir dir;
      one =
        name:
        if entries.${name} == "directory" then
          files (dir + "/${name}") "${prefix}${name}/"
        else
          # A link is what it leads to.
          [ "${prefix}${name}=${builtins.hashFile "sha256" (dir + "/${name}")}" ];
    in
    builtins.concatMap one (builtins.filter (counts entries prefix) (builtins.attrNames entries));

  content = builtins.concatStringsSep "\n" (files dir "");
in
request: builtins.hashString "sha256" "${content}\n${builtins.toJSON request}"
