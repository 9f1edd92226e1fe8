# The QEMU guest agent: orderly shutdown, freezing for snapshots, and the clock,
# which nixvmd sets when it is wrong. What is between that is the NTP client's.
{ lib, ... }:
{
  services.qemuGuest.enable = true;
  services.timesyncd.enable = lib.mkDefault true;
}
