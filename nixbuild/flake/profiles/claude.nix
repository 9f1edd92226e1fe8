# Claude Code, Anthropic's agent; private networks are blocked
# agent: yes
{ pkgs, ... }:
{
  # Installed by npm at the first login of "user"; it then updates itself.
  # install = "image" puts it into the image instead, as old as flake.lock.
  nixvm.agents.claude = {
    command = "claude";
    npm = "@anthropic-ai/claude-code";
    package = pkgs.claude-code;
  };
  nixvm.unfree = [ "claude-code" ];
}
