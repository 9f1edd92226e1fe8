# Packages that are names: pkgs.git is "/nix/store/git" wherever it is used as text.
lib:
let
  package = name: {
    type = "derivation";
    inherit name;
    pname = name;
    outPath = "/nix/store/${name}";
    drvPath = "/nix/store/${name}.drv";
    meta.mainProgram = name;
  };
  names = lib.splitString " " (
    "asciinema bash bashInteractive buildah busybox claude-code coreutils curl diffutils dig distrobox e2fsprogs fd file findutils flake fzf gcc "
    + "gh git git-lfs gnumake gnutar gzip home-manager-generation htop image imagemagick initrd inotify-tools jq just kmod less linux lsof "
    + "moreutils neovim netcat nftables nix nodejs openssl opencode p7zip pciutils pkg-config podman-compose python3 "
    + "qemu-utils ripgrep rsync rustup shadow shellcheck skopeo sshfs systemd tmux toplevel tree unzip util-linux uv vim w3m wget yq-go"
  );
in
lib.genAttrs names package
// {
  inherit lib;
  # Of some only one output is used.
  foot.terminfo = package "foot-terminfo";
  ghostty.terminfo = package "ghostty-terminfo";
  kitty.terminfo = package "kitty-terminfo";
  udev.dev = package "udev-dev";
  linuxPackages_latest.kernel = package "linux-latest";
  stdenv.hostPlatform = {
    system = "x86_64-linux";
    efiArch = "x64";
    libDir = "lib64";
    isAarch64 = false;
  };
  stdenv.cc.bintools.dynamicLinker = "/nix/store/glibc/lib/ld-linux-x86-64.so.2";
  writeText = name: text: package name // { inherit text; };
  runCommand =
    name: attrs: script:
    package name // { inherit attrs script; };
  buildEnv = args: package args.name // { inherit args; };
  writeShellApplication = args: package args.name // { inherit args; };
  closureInfo = _: package "closure-info";
}
