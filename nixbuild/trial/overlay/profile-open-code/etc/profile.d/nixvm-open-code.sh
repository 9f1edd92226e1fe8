# Says at an interactive login of "user" how OpenCode gets into its home, until it
# is there. It is not fetched unasked: the login must work without a network.
# shellcheck shell=bash
case $-:$(id -un) in
*i*:user)
	PATH=$HOME/.local/bin:$HOME/.opencode/bin:$PATH
	command -v opencode >/dev/null ||
		printf '%s\n' 'OpenCode is not installed yet. Install it into your home with:' '  curl -fsSL https://opencode.ai/install | bash'
	;;
esac
