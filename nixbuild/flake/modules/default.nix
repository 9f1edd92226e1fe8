# The NixOS side of the guest contract (docs/guest-contract.md), one concern a
# file. What happens at boot before systemd has read anything is not here but in
# ../guest, which the trial guest runs as well.
{
  imports = [
    ./accounts.nix
    ./agents.nix
    ./boot.nix
    ./boot/limits.nix
    ./certificates.nix
    ./firewall.nix
    ./guest-agent.nix
    ./image.nix
    ./lean.nix
    ./logs.nix
    ./memory.nix
    ./mode-immutable.nix
    ./mode-mutable.nix
    ./network.nix
    ./nix.nix
    ./options.nix
    ./paths.nix
    ./preinit.nix
    ./programs.nix
    ./ssh.nix
    ./tmpfiles.nix
    ./trim.nix
    ./unfree.nix
    ./version.nix
  ];
}
