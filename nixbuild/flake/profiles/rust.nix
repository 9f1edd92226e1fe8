# Rust development with rustup
{ pkgs, ... }:
{
  environment.systemPackages = with pkgs; [
    rustup
    # Linkers and headers for what cargo builds.
    gcc
    gnumake
    openssl
    pkg-config
  ];
  environment.extraInit = ''
    PATH=$HOME/.cargo/bin:$PATH
  '';
}
