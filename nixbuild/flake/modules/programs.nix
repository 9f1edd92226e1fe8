# Programs that are not from Nix run: VS Code's server, what npm, uv and rustup
# fetch, and agents that update themselves.
{ lib, ... }:
{
  programs.nix-ld.enable = true;
  # rsync, scp and editors call it by name.
  programs.bash.completion.enable = lib.mkDefault true;
  # Nobody reads manuals in an image that is rebuilt; they are on the host.
  documentation.nixos.enable = lib.mkDefault false;
  documentation.doc.enable = lib.mkDefault false;
}
