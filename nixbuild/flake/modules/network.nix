# systemd-networkd, by the file that ../guest writes from the identity (a static
# address, or DHCP); names by the resolv.conf and hosts that it writes.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  firewalled = {
    requires = [ "firewall-ports.service" ];
    after = [ "firewall-ports.service" ];
  };
in
{
  networking = {
    useDHCP = false;
    dhcpcd.enable = false;
    useNetworkd = true;
    resolvconf.enable = false;
  };
  systemd.network.enable = true;
  # One card is enough to be online.
  systemd.network.wait-online.anyInterface = true;

  # No network without the firewall. The socket too: it starts networkd at every
  # change of a link.
  systemd.services.systemd-networkd = firewalled;
  systemd.sockets.systemd-networkd = firewalled;

  # A resolver of its own at 127.0.0.53 would hide from the firewall, and from
  # containers, whom the guest asks.
  services.resolved.enable = lib.mkForce false;
  environment.etc."resolv.conf".source = lib.mkForce "/run/nixvm/resolv.conf";
  environment.etc.hosts.source = lib.mkForce "/run/nixvm/hosts";

  systemd.paths.nixvm-resolv = {
    description = "Follow the resolvers that DHCP names";
    wantedBy = [ "multi-user.target" ];
    pathConfig.PathChanged = "/run/systemd/netif/state";
  };
  # A path unit misses what changes while its service runs, and networkd writes its
  # state several times while a link comes up: so this waits until it is up.
  systemd.services.nixvm-resolv = {
    description = "Write resolv.conf";
    unitConfig.StartLimitIntervalSec = 0;
    serviceConfig = {
      Type = "oneshot";
      ExecStart = [
        "-${pkgs.systemd}/lib/systemd/systemd-networkd-wait-online --any --operational-state=routable --timeout=120"
        "${config.nixvm.guest}/resolv"
      ];
    };
  };
}
