# The QEMU guest agent: orderly shutdown, freezing for snapshots, and the clock,
# which nixvmd sets after a resume.
{
  services.qemuGuest.enable = true;
}
