// Owns: one PGresult, freed with this object.
// Must never: trap on what the server sent; a value of another size than asked for throws `malformed`.
internal import Bytes
internal import CLibPQ
internal import EtcdAPI

/// The rows of one statement, in binary format.
final class PostgresResult {
    private let raw: OpaquePointer

    /// Takes over `raw`.
    init(taking raw: OpaquePointer) { self.raw = raw }

    deinit { PQclear(raw) }

    var status: ExecStatusType { PQresultStatus(raw) }
    var rowCount: Int { Int(PQntuples(raw)) }

    /// How many rows a statement that returns none has touched.
    var affectedRows: Int { Int(String(cString: PQcmdTuples(raw))) ?? 0 }

    /// The command tag, such as `COMMIT` or `ROLLBACK`.
    var commandTag: String { String(cString: PQcmdStatus(raw)) }

    func isNull(_ row: Int, _ column: Int) -> Bool { PQgetisnull(raw, Int32(row), Int32(column)) == 1 }

    /// A bigint, int or smallint, by `type`'s width.
    @inline(__always)
    func integer<I: FixedWidthInteger>(_ row: Int, _ column: Int, as type: I.Type = I.self) throws(LogError) -> I {
        guard PQgetlength(raw, Int32(row), Int32(column)) == MemoryLayout<I>.size,
            let value = PQgetvalue(raw, Int32(row), Int32(column))
        else { throw LogError.malformed("column \(column) is not an integer of \(MemoryLayout<I>.size) bytes") }
        return I(bigEndian: UnsafeRawPointer(value).loadUnaligned(as: I.self))
    }

    /// A bigint that is a number of etcd's API.
    @inline(__always)
    func integer<N: WireNumber>(_ row: Int, _ column: Int) throws(LogError) -> N { N(try integer(row, column)) }

    /// The bytes of a value, valid as long as this object is.
    @inline(__always)
    func bytes(_ row: Int, _ column: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: PQgetvalue(raw, Int32(row), Int32(column)), count: Int(PQgetlength(raw, Int32(row), Int32(column))))
    }

    func text(_ row: Int, _ column: Int) -> String { String(decoding: bytes(row, column), as: UTF8.self) }

    func boolean(_ row: Int, _ column: Int) throws(LogError) -> Bool { try integer(row, column, as: UInt8.self) != 0 }

    /// A text[] without nulls (array_send in arrayfuncs.c).
    func textArray(_ row: Int, _ column: Int) throws(LogError) -> [String] {
        let raw = bytes(row, column)
        var at = 0
        func word() throws(LogError) -> Int {
            guard at + 4 <= raw.count else { throw LogError.malformed("an array is cut off") }
            defer { at += 4 }
            return Int(Int32(bigEndian: raw.loadUnaligned(fromByteOffset: at, as: Int32.self)))
        }
        let dimensions = try word()
        guard dimensions == 1 else {
            guard dimensions == 0 else { throw LogError.malformed("an array of \(dimensions) dimensions") }
            return []
        }
        _ = (try word(), try word())
        let count = try word()
        _ = try word()
        var elements: [String] = []
        for _ in 0..<max(count, 0) {
            let length = try word()
            guard length >= 0, at + length <= raw.count else { throw LogError.malformed("an array is cut off") }
            elements.append(String(decoding: UnsafeRawBufferPointer(rebasing: raw[at..<at + length]), as: UTF8.self))
            at += length
        }
        return elements
    }

    /// One of libpq's error fields (PG_DIAG_*).
    func errorField(_ field: Character) -> String? {
        guard let ascii = field.asciiValue, let text = PQresultErrorField(raw, Int32(ascii)) else { return nil }
        return field == "M" ? Secrets.hidden(in: String(cString: text)) : String(cString: text)
    }

    var errorMessage: String { oneLine(PQresultErrorMessage(raw)) }
}

/// libpq's messages end in a newline and may hold more of them; a log line must not. Nor must it hold a password.
func oneLine(_ message: UnsafePointer<CChar>?) -> String {
    guard let message else { return "" }
    var text = ""
    for line in String(cString: message).split(whereSeparator: \.isNewline) {
        let words = line.drop(while: \.isWhitespace)
        // An indented line that begins with a small letter is the rest of a sentence.
        let goesOn = line.first == "\t" && words.first?.isLowercase == true
        text += (text.isEmpty ? "" : goesOn ? " " : "; ") + words
    }
    return Secrets.hidden(in: text.replacing(guess, with: ""))
}

/// What libpq says wherever a connection breaks, which mostly is not so.
private let guess = "; This probably means the server terminated abnormally before or while processing the request."
