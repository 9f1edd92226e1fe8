# Makes the list of packages in an image of its store paths: "NAME VERSION", as `nix
# store diff-closures` tells one from the other. What has no version is no package. An
# image must not name store paths that are not in the builder's store.
s|^.*/[0-9a-z]{32}-||
s/-(bin|dev|devdoc|doc|lib|man|info|out|data|static|debug|terminfo|modules|libexec|getent|sbin)$//
/-[^A-Za-z]/!d
s/-([^A-Za-z].*)$/ \1/
s/ $//
/^[^ ]+ [^ ]+$/!d
