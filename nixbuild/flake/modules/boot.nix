# Kernel, initrd and the console, for a virtual machine.
{
  config,
  lib,
  pkgs,
  ...
}:
{
  boot = {
    initrd = {
      # Which bus the disks are on is the backend's choice.
      availableKernelModules = [
        "ahci"
        "ata_piix"
        "nvme"
      ];
      # Loaded before ../guest looks for its disks, so that all are there, in their
      # order; and what it mounts, as no module can be loaded in its chroot.
      kernelModules = [
        "virtio_pci"
        "virtio_blk"
        "virtio_scsi"
        "sd_mod"
        "sr_mod"
        "isofs"
        "ext4"
        "overlay"
      ];
    };
    # The serial console shows the boot and a login. What is shown is what a person
    # can act on.
    # The last one is /dev/console; the screen is for a backend that shows one.
    kernelParams = [
      "console=tty0"
      (if pkgs.stdenv.hostPlatform.isAarch64 then "console=ttyAMA0" else "console=ttyS0")
      "panic=10"
      # The check is for broken hardware; on a host too busy to deliver ticks in time
      # it fails.
      "no_timer_check"
      # Disks of a SCSI bus are there when its driver is.
      "scsi_mod.scan=sync"
      # Freezing the file systems for a snapshot takes a third of the time.
      "rcupdate.rcu_expedited=1"
      # What is mounted is said here; no partition is mounted because of its type.
      "systemd.gpt_auto=0"
    ];
    consoleLogLevel = lib.mkDefault 4;
    kernelPackages = lib.mkIf (config.nixvm.kernel == "latest") (lib.mkDefault pkgs.linuxPackages_latest);
    loader.timeout = lib.mkDefault 0;
    loader.efi.canTouchEfiVariables = false;
    loader.grub.enable = false;
  };

  # A VM that is asked to stop stops; an agent that ignores SIGTERM does not hold it.
  # Drop-ins: their names have outlived several renamings of NixOS's options.
  environment.etc."systemd/system.conf.d/nixvm.conf".text = ''
    [Manager]
    DefaultTimeoutStopSec=15s
  '';
  # The power button is what `nixvmd stop` presses. What a user left running (tmux,
  # an agent) lives on after the connection.
  environment.etc."systemd/logind.conf.d/nixvm.conf".text = ''
    [Login]
    HandlePowerKey=poweroff
    KillUserProcesses=no
  '';

  # By label, as the image builder has set them (image.nix): the bus may change.
  fileSystems."/" = {
    device = "/dev/disk/by-partlabel/nixvm-root";
    fsType = config.nixvm.layout.rootFormat;
    options = if config.nixvm.layout.readOnlyRoot then [ "ro" ] else [ "noatime" ];
    # A check would read the whole image at every boot, and could mend nothing.
    noCheck = config.nixvm.layout.readOnlyRoot;
  };

  time.timeZone = lib.mkDefault "UTC";
  system.stateVersion = lib.mkDefault (import ../lib).release;
}
