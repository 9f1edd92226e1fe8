# SSH, accounts, firewall (always included)
# What every image has is in modules/; here are the programs of the first hour.
{ pkgs, ... }:
{
  environment.systemPackages = with pkgs; [
    # What the terminals of today call themselves by TERM.
    foot.terminfo
    ghostty.terminfo
    kitty.terminfo

    curl
    dig
    file
    git
    htop
    jq
    just
    less
    lsof
    netcat
    pciutils
    ripgrep
    rsync
    unzip
    vim
    wget
  ];
}
