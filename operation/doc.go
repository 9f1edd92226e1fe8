// Package operation runs long requests so that nothing is lost: each is a plan of
// journalled steps, each of which can be undone or repeated.
//
// An Engine knows nothing about the content of the steps. Its owner gives it, for each kind
// of operation, a Verb that turns journalled arguments into a Plan, and answers
// its questions about the things that operations work on (Owner). In return the
// engine promises:
//
//   - One operation at a time holds a key (a machine, an image). Which keys an
//     operation holds, and which operation ends another one for them, is up to
//     the owner: Options.Keys and Verb.Rank.
//   - A step acts only after the journal says that it may have. After kill -9 at
//     any instant, Recover finishes or undoes what ran. Run.Note adds facts of a
//     running step that recovery hands back to it, e.g. the id of a remote task.
//   - An operation is listed, and watchers hear of it, only once it is journalled:
//     a client that has seen one can find out how it ended, regardless of the
//     daemon. Before that it can be cancelled by its id all the same.
//   - What failed and could not be undone completely is unresolved: it waits until
//     a person chooses (Resolve), because an undo that comes late may destroy what
//     was made since. Journals name the instance of the thing that they are about.
//   - Short changes that need no journal (Edit) take their turn with operations on
//     the same key, so that they neither lose updates nor act on what an operation
//     has changed since they looked.
//   - Close ends in bounded time. What does not heed its context is given up and
//     left to the next daemon, as if this one had been killed.
//
// Lock order: Options.Order, then the locks of the owner in Owner.Tell, then the
// lock of the engine. The engine calls its owner without holding its own lock, so
// the owner may ask the engine (StateOf, States, Holder) with its locks held.
package operation
