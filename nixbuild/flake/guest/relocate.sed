# Turns the programs of this directory from Debian's paths to NixOS's: @guest@ is
# the directory of the programs, @tools@ one whose bin/ has everything they call.
s,/usr/lib/nixvm,@guest@,g
s,^PATH=.*,PATH=@tools@/bin,
s,/usr/s\{0\,1\}bin/,@tools@/bin/,g
