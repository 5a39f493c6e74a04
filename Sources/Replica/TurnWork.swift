// Owns: what a turn has done beside reads and watches.

/// What is done in a turn beside reads and watches: everything that could be any number of rows has a bound, and goes on in the next.
struct TurnWork {
    /// Rows and keys that were looked at.
    var visits = 0
}
