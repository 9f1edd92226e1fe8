# The few functions on text that builtins lack.
rec {
  # trim " a b " = "a b"
  trim = s: builtins.head (builtins.match "[[:space:]]*(([^[:space:]].*[^[:space:]]|[^[:space:]])?)[[:space:]]*" s);

  # words "," "a, b,,c" = [ "a" "b" "c" ]
  words =
    separator: s:
    builtins.filter (w: w != "") (map trim (builtins.filter builtins.isString (builtins.split separator s)));

  # lines "a\nb\n" = [ "a" "b" "" ]
  lines = s: builtins.filter builtins.isString (builtins.split "\n" s);

  # takeWhile isA [ a a b a ] = [ a a ]
  takeWhile =
    p: list: if list == [ ] || !(p (builtins.head list)) then [ ] else [ (builtins.head list) ] ++ takeWhile p (builtins.tail list);

  # unique: sorted, each once
  unique =
    list:
    builtins.attrNames (
      builtins.listToAttrs (
        map (name: {
          inherit name;
          value = null;
        }) list
      )
    );
}
