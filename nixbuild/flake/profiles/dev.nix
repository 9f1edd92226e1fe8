# Development tools: neovim, tmux, ripgrep and friends
{ lib, pkgs, ... }:
{
  environment.systemPackages = with pkgs; [
    asciinema
    fd
    fzf
    gcc
    gh
    git-lfs
    gnumake
    imagemagick
    inotify-tools
    moreutils
    neovim
    nodejs
    openssl
    p7zip
    pkg-config
    python3
    shellcheck
    sshfs
    tmux
    tree
    w3m
    yq-go
  ];
  programs.direnv.enable = true;
  # libudev, which crates and modules of Node that speak to devices look for.
  environment.extraInit = ''
    export PKG_CONFIG_PATH="${lib.makeSearchPath "lib/pkgconfig" [ pkgs.udev.dev ]}''${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
  '';
}
