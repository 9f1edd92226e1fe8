# What a desktop has, or a machine of metal, and a VM without a screen never uses. A
# profile that wants one of them back says so, or brings a module that does.
{ lib, ... }:
let
  # Above the option's own default, below every other module.
  off = lib.mkOverride 1200 false;
in
{
  fonts.fontconfig.enable = off;
  xdg = {
    autostart.enable = off;
    icons.enable = off;
    menus.enable = off;
    mime.enable = off;
    sounds.enable = off;
  };
  # RAID, caches of block devices and volume managers: the disks are the backend's.
  boot.swraid.enable = off;
  boot.bcache.enable = off;
  services.lvm.enable = off;
  # vim is there.
  programs.nano.enable = off;
}
