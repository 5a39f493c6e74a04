// Owns: the kinds of round trips to PostgreSQL that are timed.

/// The kinds of things that PostgreSQL is asked.
package enum LogOperation: String, CaseIterable, Sendable {
    case connect
    case append
    case lockHead = "lock_head"
    case recover
    case readHead = "read_head"
    case readTail = "read_tail"
    case readHistory = "read_history"
    case readValues = "read_values"
    case deleteRows = "delete_rows"
    case lease
    case ask
}
