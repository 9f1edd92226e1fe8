# The rules are those of ../guest/firewall, for both guests the same. NixOS's own
# firewall is off, but what profiles open by its options (allowedTCPPorts,
# openFirewall ...) is opened: preinit.nix hands it over.
{
  config,
  lib,
  pkgs,
  ...
}:
{
  networking.firewall.enable = lib.mkForce false;

  systemd.services.firewall-ports = {
    description = "Firewall with the declared ports";
    wantedBy = [ "sysinit.target" ];
    wants = [ "network-pre.target" ];
    before = [
      "network-pre.target"
      "shutdown.target"
    ];
    after = [ "systemd-modules-load.service" ];
    conflicts = [ "shutdown.target" ];
    unitConfig.DefaultDependencies = false;
    serviceConfig = {
      Type = "oneshot";
      RemainAfterExit = true;
      ExecStart = "${config.nixvm.guest}/firewall";
      ExecReload = "${config.nixvm.guest}/firewall";
    };
  };
  boot.kernelModules = [ "nf_tables" ];
  environment.systemPackages = [ pkgs.nftables ];
}
