# OpenCode, an agent for many model providers; private networks are blocked
# agent: yes
{ pkgs, ... }:
let
  # What OpenCode starts with; the file in the home is then the user's.
  config = pkgs.writeText "opencode-config.json" (
    builtins.toJSON {
      "$schema" = "https://opencode.ai/config.json";
      model = "anthropic/claude-opus-4-5";
      provider.anthropic = { };
    }
  );
in
{
  # Installed by npm at the first login of "user". install = "image" puts it into
  # the image instead, as old as flake.lock.
  nixvm.agents.open-code = {
    command = "opencode";
    npm = "opencode-ai";
    package = pkgs.opencode;
  };

  # C copies only what is not there.
  systemd.tmpfiles.rules = [
    "d /home/user/.config 0755 user user -"
    "d /home/user/.config/opencode 0755 user user -"
    "C /home/user/.config/opencode/config.json 0644 user user - ${config}"
  ];
}
