# Development tools: neovim, tmux, ripgrep and friends
{ pkgs, ... }:
{
  environment.systemPackages = with pkgs; [
    fd
    fzf
    gcc
    gh
    git-lfs
    gnumake
    inotify-tools
    moreutils
    neovim
    nodejs
    openssl
    p7zip
    pkg-config
    python3
    shellcheck
    tmux
    tree
    yq-go
  ];
  programs.direnv.enable = true;
}
