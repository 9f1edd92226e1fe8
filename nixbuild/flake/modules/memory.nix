# Swap in compressed memory: an agent's build that needs more for a moment is not
# killed for it, and no disk grows.
{ lib, ... }:
{
  zramSwap = {
    enable = lib.mkDefault true;
    memoryPercent = lib.mkDefault 50;
  };
  boot.kernel.sysctl."vm.swappiness" = lib.mkDefault 100;
}
