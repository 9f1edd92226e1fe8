# Once a week the guest tells its disks which blocks are free, and the host gets them
# back. /var is mounted with "discard" besides; this is for the root of a mutable
# machine, and for what was free before.
{ lib, pkgs, ... }:
{
  services.fstrim.enable = true;
  # /etc/fstab has no /var, which ../guest mounts.
  systemd.services.fstrim.serviceConfig.ExecStart = lib.mkForce [
    ""
    "${lib.getBin pkgs.util-linux}/bin/fstrim --listed-in /proc/self/mountinfo --verbose --quiet-unsupported"
  ];
  # A VM may run for an hour a day: what was due is done soon after it starts.
  systemd.timers.fstrim.timerConfig.RandomizedDelaySec = lib.mkForce "10min";
}
