# NVIDIA GPU support, for a GPU that is passed through to the VM
# requires: docker (the GPU is handed to containers by Docker)
# pci: yes (the driver is for a GPU of the host)
{ config, pkgs, ... }:
{
  assertions = [
    {
      assertion = config.virtualisation.docker.enable;
      message = "nixvm: profile nvidia requires docker: the GPU is handed to containers by Docker";
    }
  ];
  services.xserver.videoDrivers = [ "nvidia" ];
  hardware.graphics.enable = true;
  # The open kernel modules: Turing and newer.
  hardware.nvidia.open = true;
  hardware.nvidia-container-toolkit.enable = true;
  nixvm.unfree = [
    "nvidia-x11"
    "nvidia-settings"
    "nvidia-persistenced"
  ];
}
