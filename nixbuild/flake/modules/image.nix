# The image: GPT with an ESP and the root, made by systemd-repart without a VM and
# without root (docs/decisions/0010-images-without-a-vm.md), and image.json beside.
{
  config,
  lib,
  modulesPath,
  pkgs,
  ...
}:
let
  cfg = config.nixvm;
  inherit (config.nixvm) layout;
  toplevel = config.system.build.toplevel;
  kernel = "${config.boot.kernelPackages.kernel}/${config.system.boot.loader.kernelFile}";
  initrd = "${config.system.build.initialRamdisk}/${config.system.boot.loader.initrdFile}";
  cmdline = "init=${toplevel}/init ${toString config.boot.kernelParams}";
  arch = pkgs.stdenv.hostPlatform.efiArch;

  # The names of the first generation: nixos-rebuild in a mutable guest takes the
  # entry over and removes it when its time comes.
  entry = pkgs.writeText "boot-entry" ''
    title NixOS
    version ${cfg.version}
    linux /EFI/nixos/nixvm-kernel.efi
    initrd /EFI/nixos/nixvm-initrd.efi
    options ${cmdline}
  '';
  loader = pkgs.writeText "loader.conf" ''
    timeout 0
    default nixos-generation-1.conf
  '';

  inherit (pkgs.stdenv.hostPlatform) libDir;
  skeleton = config.system.build.nixvmSkeleton;

  description = {
    contract = 2;
    id = cfg.imageId;
    distro = "nixos";
    inherit (cfg) mode version;
    profiles = builtins.filter (p: p != "core") cfg.profiles;
    system = pkgs.stdenv.hostPlatform.system;
    source = "NixOS ${config.system.nixos.version}, ${lib.concatStringsSep ", " cfg.profiles}";
    # A build has no clock; whoever puts the image into a store knows the time.
    built = "1970-01-01T00:00:00Z";
    disk = {
      file = "disk.qcow2";
      format = "qcow2";
      virtualSize = "@virtualSize@";
      sha256 = "@sha256@";
    };
  }
  // lib.optionalAttrs layout.directBoot {
    kernel = "vmlinuz";
    initrd = "initrd";
    inherit cmdline;
  };
in
{
  imports = [ "${modulesPath}/image/repart.nix" ];

  image.repart = {
    name = "nixvm";
    partitions = {
      "10-esp" = {
        contents = {
          "/EFI/BOOT/BOOT${lib.toUpper arch}.EFI".source = "${pkgs.systemd}/lib/systemd/boot/efi/systemd-boot${arch}.efi";
          "/EFI/nixos/nixvm-kernel.efi".source = kernel;
          "/EFI/nixos/nixvm-initrd.efi".source = initrd;
          "/loader/loader.conf".source = loader;
          "/loader/entries/nixos-generation-1.conf".source = entry;
        };
        repartConfig = {
          Type = "esp";
          Label = "nixvm-esp";
          Format = "vfat";
          # A mutable guest keeps the kernels of its generations here.
          SizeMinBytes = if layout.directBoot then "128M" else "512M";
          SizeMaxBytes = if layout.directBoot then "128M" else "512M";
        };
      };
      "20-root" = {
        storePaths = [ toplevel ];
        contents = {
          "/bin".source = "${skeleton}/bin";
          "/${libDir}".source = "${skeleton}/${libDir}";
          "/sbin".source = "${skeleton}/sbin";
          "/usr".source = "${skeleton}/usr";
        }
        // lib.optionalAttrs layout.nix {
          "/nix/nixvm-registration".source = "${pkgs.closureInfo { rootPaths = [ toplevel ]; }}/registration";
        };
        repartConfig = {
          Type = "root";
          Label = "nixvm-root";
          Format = layout.rootFormat;
          Minimize = if layout.readOnlyRoot then "best" else "guess";
          MakeDirectories = "/boot /dev /etc /home /mnt /nix /opt /proc /root /run /srv /sys /tmp /var";
        };
      };
    };
  };

  system.build.nixvmImage =
    pkgs.runCommand cfg.imageId
      {
        nativeBuildInputs = [ pkgs.qemu-utils ];
        # The disk holds all that it names: without this the whole system would be
        # kept in the builder's store as well.
        __structuredAttrs = true;
        unsafeDiscardReferences.out = true;
        description = builtins.unsafeDiscardStringContext (builtins.toJSON description);
      }
      ''
        phase() { echo "@nix { \"action\": \"setPhase\", \"phase\": \"$1\" }" >&"''${NIX_LOG_FD:-2}"; }

        mkdir $out
        raw=$(echo ${config.system.build.image}/*.raw)
        phase qcow2
        qemu-img convert -p -f raw -O qcow2 "$raw" $out/disk.qcow2
        ${lib.optionalString layout.directBoot ''
          cp ${kernel} $out/vmlinuz
          cp ${initrd} $out/initrd
        ''}
        phase describe
        sed -E -f ${../lib/packages.sed} ${pkgs.closureInfo { rootPaths = [ toplevel ]; }}/store-paths |
          sort -u >$out/packages
        sum=$(sha256sum $out/disk.qcow2)
        printf '%s\n' "$description" |
          sed -e "s/\"@virtualSize@\"/$(stat -L -c %s "$raw")/" -e "s/@sha256@/''${sum%% *}/" >$out/image.json
      '';
}
