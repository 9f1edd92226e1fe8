# Code agents. One is installed into the home of the account "user" by npm, where
# it can update itself and outlives upgrades of the image, or is part of the image.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  agents = lib.attrValues config.nixvm.agents;
  atLogin = lib.filter (a: a.install == "first-login") agents;

  install = pkgs.writeShellApplication {
    name = "nixvm-agent-install";
    runtimeInputs = [
      pkgs.coreutils
      pkgs.findutils
      pkgs.nodejs
      pkgs.util-linux
    ];
    text = builtins.readFile ./agents/install.sh;
  };
  export = pkgs.writeShellApplication {
    name = "nixvm-export";
    runtimeInputs = [
      pkgs.coreutils
      pkgs.findutils
      pkgs.gnutar
      pkgs.gzip
    ];
    text = builtins.readFile ./agents/export.sh;
  };
in
{
  options.nixvm.agents = mkOption {
    default = { };
    description = "The agents of this image.";
    type = types.attrsOf (
      types.submodule {
        options = {
          command = mkOption {
            type = types.str;
            description = "The program that a person runs.";
          };
          npm = mkOption {
            type = types.str;
            description = "The package that npm installs.";
          };
          package = mkOption {
            type = types.package;
            description = "The package of nixpkgs, for install = \"image\".";
          };
          install = mkOption {
            type = types.enum [
              "first-login"
              "image"
            ];
            default = "first-login";
            description = ''
              "first-login": by npm, the newest; update it with the agent's own command or
              nixvm-agent-install. "image": the version that flake.lock pins; update it
              with an upgrade of the VM.
            '';
          };
        };
      }
    );
  };

  config = lib.mkIf (agents != [ ]) {
    environment.systemPackages = [
      pkgs.nodejs
      install
      export
    ]
    ++ map (a: a.package) (lib.filter (a: a.install == "image") agents);

    # npm's own prefix is in the store, which nobody can write to.
    environment.etc.npmrc.text = "prefix=\${HOME}/.npm-global\n";
    environment.variables.NPM_CONFIG_GLOBALCONFIG = "/etc/npmrc";
    environment.extraInit = ''
      PATH=$HOME/.npm-global/bin:$HOME/.local/bin:$PATH
    '';

    # Of a login, and not of each terminal that is opened after it.
    environment.loginShellInit = lib.mkIf (atLogin != [ ]) (
      builtins.readFile ./agents/login.sh
      + lib.concatMapStrings (a: "nixvm_agent ${lib.escapeShellArgs [ a.command a.npm ]}\n") atLogin
      + "unset -f nixvm_agent\n"
    );
  };
}
