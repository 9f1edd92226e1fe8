# The profiles in a directory: name -> what its first comment lines say.
#
#   # NVIDIA GPU support, for containers
#   # requires: docker (the GPU is handed to containers by Docker)
#   # conflicts: NAME, OTHER (why)
#   # agent: yes
#
# They are read as text and not by importing the file: a profile whose code has
# an error is still listed, and does not take the others with it.
dir:
let
  text = import ./text.nix;
  entries = builtins.readDir dir;

  # nameOf: the profile that a directory entry holds, or null. Files that an
  # editor leaves behind (x.nix~, .#x.nix) hold none. x.nix comes before x/.
  nameOf =
    entry:
    let
      file = builtins.match "([a-z0-9][a-z0-9-]{0,31})\\.nix" entry;
      folder = builtins.match "[a-z0-9][a-z0-9-]{0,31}" entry;
    in
    if file != null then
      builtins.head file
    else if folder != null && !(entries ? "${entry}.nix") && builtins.pathExists (dir + "/${entry}/default.nix") then
      entry
    else
      null;

  # header: the comment lines at the top, without their "# ".
  header =
    file:
    map (l: text.trim (builtins.head (builtins.match "#+(.*)" l))) (
      text.takeWhile (l: builtins.match "#.*" l != null) (text.lines (builtins.readFile file))
    );

  # field "requires" [ "requires: docker, podman (why)" ] = { docker = "why"; podman = "why"; }
  field =
    key: header:
    builtins.listToAttrs (
      builtins.concatMap (
        line:
        let
          parts = builtins.match "${key}:([^(]*)(\\((.*)\\))?" line;
          why = builtins.elemAt parts 2;
        in
        if parts == null then
          [ ]
        else
          map (name: {
            inherit name;
            value = if why == null then "" else why;
          }) (text.words "," (builtins.head parts))
      ) header
    );

  describe =
    entry:
    let
      path = if entries.${entry} == "regular" || builtins.match ".*\\.nix" entry != null then entry else "${entry}/default.nix";
      lines = header (dir + "/${path}");
      first = if lines == [ ] then "" else builtins.head lines;
    in
    {
      name = nameOf entry;
      description = if builtins.match "[a-z]+:.*" first == null then first else "";
      requires = field "requires" lines;
      conflicts = field "conflicts" lines;
      agent = field "agent" lines ? yes;
      file = "profiles/${path}";
    };
in
builtins.listToAttrs (
  map (entry: {
    name = nameOf entry;
    value = describe entry;
  }) (builtins.filter (entry: nameOf entry != null) (builtins.attrNames entries))
)
