// Package repotest checks the repository itself for what a reviewer would otherwise
// have to find. It holds tests only.
//
// The rules are in the names of the tests. They look at what git tracks or
// would track, so build products in ignored places do not matter.
package repotest
