# How long a boot may take, and what happens when it cannot go on. The limits of
# systemd are for a machine of its own; a guest shares its host, and on a busy one a
# disk has taken more than 90 s to appear.
{ config, lib, ... }:
let
  limit = 600;
  patient.serviceConfig.TimeoutStartSec = limit;
in
{
  boot.kernelParams = [
    "systemd.default_device_timeout_sec=${toString limit}"
    "systemd.default_timeout_start_sec=${toString limit}"
  ];
  # These have limits of their own, in some versions.
  boot.initrd.systemd.services.systemd-modules-load = patient;
  boot.initrd.systemd.services.systemd-sysctl = patient;
  systemd.services.systemd-modules-load = patient;
  systemd.services.systemd-sysctl = patient;
  systemd.services.systemd-journal-flush = patient;

  # Not where somebody wants the shell: it then waits at the console.
  boot.initrd.systemd.services.nixvm-give-up = lib.mkIf (builtins.elem config.boot.initrd.systemd.emergencyAccess [ false null ]) {
    description = "Switch off and say why";
    wantedBy = [ "emergency.target" ];
    before = [ "emergency.service" ];
    unitConfig.DefaultDependencies = false;
    serviceConfig.Type = "oneshot";
    script = builtins.readFile ./give-up.sh;
  };
  # Later in the boot a file system that cannot be mounted is not the end: ssh comes
  # up, and shows what is wrong. No account could log in at the emergency shell.
  systemd.enableEmergencyMode = lib.mkDefault false;
}
