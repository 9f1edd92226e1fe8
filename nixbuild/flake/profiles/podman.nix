# Podman without a daemon, with buildah, skopeo and distrobox
{ pkgs, ... }:
{
  virtualisation.containers.enable = true;
  virtualisation.podman = {
    enable = true;
    # Not dockerCompat: the docker profile may be there too.
    defaultNetwork.settings.dns_enabled = true;
  };
  environment.systemPackages = with pkgs; [
    buildah
    distrobox
    podman-compose
    skopeo
  ];
}
