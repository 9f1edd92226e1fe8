# Stands for NixOS's image/repart.nix.
{ }
