# What systemd-tmpfiles could only complain about on a root that cannot be written.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (config.nixvm.layout) readOnlyRoot;
  # The directory of the loader: the image has it (paths.nix), with the mode of the
  # store.
  inImage = rule: builtins.match "d[[:space:]]+/${pkgs.stdenv.hostPlatform.libDir}[[:space:]].*" rule != null;
in
{
  # NixOS declares this option; here it only learns to leave rules out.
  options.systemd.tmpfiles.rules = lib.mkOption {
    apply = rules: if readOnlyRoot then lib.filter (rule: !(inImage rule)) rules else rules;
  };

  config = lib.mkIf readOnlyRoot {
    # systemd's own has /etc/credstore as well, where nothing could be put.
    environment.etc."tmpfiles.d/credstore.conf".text = ''
      z /run/credstore 0700 root root
      z /run/credstore.encrypted 0700 root root
    '';
  };
}
