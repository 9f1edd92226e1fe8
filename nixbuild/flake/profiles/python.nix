# Python development with uv
{ pkgs, ... }:
{
  environment.systemPackages = with pkgs; [
    python3
    uv
    # For packages that compile something.
    gcc
    gnumake
    pkg-config
  ];
  # uv fetches interpreters that are not from Nix: modules/programs.nix makes them run.
}
