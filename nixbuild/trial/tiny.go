package trial

// tinyExcludes are what a test guest has no use for: a smaller disk is written
// and read faster.
var tinyExcludes = []string{
	"./usr/lib/python3*", "./usr/bin/python3*", "./usr/bin/pip*", "./usr/lib/git-core*", "./usr/share/perl*", "./usr/lib/x86_64-linux-gnu/perl*",
	"./usr/share/zoneinfo*", "./usr/lib/gcc*", "./usr/share/vim*", "./usr/share/python*", "./usr/share/doc*",
	"./usr/lib/modules/*/kernel/drivers/net/ethernet*", "./usr/lib/modules/*/kernel/drivers/infiniband*",
}
