# The programs of ../guest, with NixOS's paths, and the unit of the initrd that
# runs them: after the root is mounted, before anything of it is read.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (config.nixvm) mode layout;

  # Everything that the programs call. busybox is their shell and comes last: of
  # the others the real ones are meant.
  tools = pkgs.buildEnv {
    name = "nixvm-guest-tools";
    paths = map lib.getBin [
      pkgs.util-linux
      pkgs.e2fsprogs
      pkgs.coreutils
      pkgs.kmod
      pkgs.nftables
      pkgs.shadow
    ] ++ [ (lib.lowPrio pkgs.busybox) ];
    pathsToLink = [ "/bin" ];
    ignoreCollisions = true;
  };

  ports =
    protocol:
    let
      firewall = config.networking.firewall;
      single = map toString firewall."allowed${protocol}Ports";
      ranges = map (r: "${toString r.from}-${toString r.to}") firewall."allowed${protocol}PortRanges";
    in
    lib.concatLines (single ++ ranges);

  guest =
    pkgs.runCommand "nixvm-guest"
      {
        src = ../guest;
        places = if layout.stateDisk then "places-state.sh" else "places-mutable.sh";
        tcpPorts = ports "TCP";
        udpPorts = ports "UDP";
      }
      ''
        mkdir $out
        for file in $src/*; do
          sed -f $src/relocate.sed "$file" | sed -e "s,@guest@,$out,g" -e "s,@tools@,${tools},g" >"$out/''${file##*/}"
          if [ "$(head -c 2 "$file")" = '#!' ]; then chmod +x "$out/''${file##*/}"; fi
        done
        mv $out/$places $out/places.sh
        rm -f $out/places-*.sh $out/relocate.sed
        echo ${mode} >$out/mode
        printf %s "$tcpPorts" >$out/tcp_ports
        printf %s "$udpPorts" >$out/udp_ports
        ${lib.optionalString config.nixvm.blockPrivateNetworks "touch $out/block-private"}
      '';
in
{
  options.nixvm.guest = lib.mkOption {
    type = lib.types.package;
    readOnly = true;
    default = guest;
    description = "The programs that run at boot.";
  };

  config = {
    # Keeps them in the system's closure (a path inside the initrd does not), and
    # shows where they are.
    environment.etc."nixvm/guest".source = guest;
    # Where the host looks for them, whichever image it is.
    environment.etc."nixvm/apply-identity".source = "${guest}/apply-identity";
    environment.etc."nixvm/grow-disk".source = "${guest}/grow-disk";

    boot.initrd.systemd.enable = true;
    boot.initrd.systemd.extraBin.chroot = "${pkgs.coreutils}/bin/chroot";
    boot.initrd.systemd.services.nixvm-preinit = {
      description = "State disk and identity";
      requiredBy = [ "initrd-fs.target" ];
      requires = [
        "sysroot.mount"
        "sysroot-run.mount"
      ];
      # /etc comes by one of the last two where it is an overlay.
      after = [
        "sysroot.mount"
        "sysroot-run.mount"
        "sysroot-etc.mount"
        "initrd-etc-overlay.service"
        "systemd-modules-load.service"
      ];
      before = [
        "initrd-fs.target"
        "initrd-nixos-activation.service"
        "shutdown.target"
      ];
      conflicts = [ "shutdown.target" ];
      unitConfig.DefaultDependencies = false;
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
      };
      # The programs lie on the root and not in the initrd, so they run in a chroot
      # there. What they mount stays mounted when the root becomes "/".
      script = ''
        export PATH=/bin
        for dir in proc sys dev; do mount --bind /$dir /sysroot/$dir; done
        status=0
        chroot /sysroot ${guest}/preinit || status=$?
        for dir in proc sys dev; do umount /sysroot/$dir; done
        exit $status
      '';
    };
  };
}
