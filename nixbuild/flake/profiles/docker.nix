# Docker daemon; admin and user may use it
{
  virtualisation.docker = {
    enable = true;
    autoPrune.enable = true;
  };
  # Whoever may talk to the daemon can become root in the guest, and so lift the
  # guest's own block of private networks: with this profile only what the host
  # enforces holds for "user".
  users.users.admin.extraGroups = [ "docker" ];
  users.users.user.extraGroups = [ "docker" ];
}
