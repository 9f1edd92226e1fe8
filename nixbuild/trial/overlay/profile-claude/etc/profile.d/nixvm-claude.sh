# Says at an interactive login of "user" how Claude Code gets into its home, until it
# is there. It is not fetched unasked: the login must work without a network.
# shellcheck shell=bash
case $-:$(id -un) in
*i*:user)
	PATH=$HOME/.local/bin:$HOME/.opencode/bin:$PATH
	command -v claude >/dev/null ||
		printf '%s\n' 'Claude Code is not installed yet. Install it into your home with:' '  curl -fsSL https://claude.ai/install.sh | bash'
	;;
esac
