// Owns: reading a long message as it comes, in pieces that are cut anywhere: whole fields are looked at where they lie.
// Must never: keep more of a message than one field that is cut.

/// Cuts a message at its fields.
struct PieceScan {
    /// The beginning of a field whose end has not come.
    private var cut: [UInt8] = []

    /// Calls `body` with runs of whole fields, all of them together the message.
    mutating func take(
        _ piece: UnsafeRawBufferPointer, isLast: Bool, _ body: (UnsafeRawBufferPointer) throws(WrongAnswer) -> Void
    ) throws(WrongAnswer) {
        var rest = piece
        if !cut.isEmpty, try !completeCut(&rest, body) {
            if isLast { throw WrongAnswer("the answer is cut short") }
            return
        }
        let whole = try Self.wholeFields(rest)
        if whole > 0 { try body(UnsafeRawBufferPointer(rebasing: rest[..<whole])) }
        if whole < rest.count {
            if isLast { throw WrongAnswer("the answer is cut short") }
            cut.append(contentsOf: rest[whole...])
        }
    }

    /// Adds what is missing of the field that is cut, and hands it over. False where `rest` did not have it all.
    private mutating func completeCut(
        _ rest: inout UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws(WrongAnswer) -> Void
    ) throws(WrongAnswer) -> Bool {
        var missing = 0
        while true {
            missing = try Self.missing(of: cut)
            if missing == 0 { break }
            if rest.isEmpty { return false }
            let taken = min(missing, rest.count)
            cut.append(contentsOf: rest[..<taken])
            rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
        }
        let field = cut
        cut.removeAll(keepingCapacity: true)
        var failure: WrongAnswer?
        field.withUnsafeBytes { bytes in
            do throws(WrongAnswer) { try body(bytes) } catch { failure = error }
        }
        if let failure { throw failure }
        return true
    }

    /// How many bytes of `bytes` are whole fields.
    private static func wholeFields(_ bytes: UnsafeRawBufferPointer) throws(WrongAnswer) -> Int {
        var at = 0
        while at < bytes.count, let size = try fieldSize(UnsafeRawBufferPointer(rebasing: bytes[at...])), size <= bytes.count - at {
            at += size
        }
        return at
    }

    /// How many bytes the field that `start` begins with lacks, or 1 where that can't be told yet.
    private static func missing(of start: [UInt8]) throws(WrongAnswer) -> Int {
        var failure: WrongAnswer?
        let missing = start.withUnsafeBytes { bytes in
            do throws(WrongAnswer) {
                return try fieldSize(bytes).map { $0 - bytes.count } ?? 1
            } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        return missing
    }

    /// The size of the field that `bytes` begins with, tag included; nil where too little of it is there to tell.
    private static func fieldSize(_ bytes: UnsafeRawBufferPointer) throws(WrongAnswer) -> Int? {
        var at = 0
        guard let tag = try varint(bytes, &at) else { return nil }
        switch tag & 7 {
        case 0: return try varint(bytes, &at) == nil ? nil : at
        case 1: return at + 8
        case 2:
            guard let length = try varint(bytes, &at) else { return nil }
            guard length <= UInt64(UInt32.max) else { throw WrongAnswer("the answer is no protobuf message") }
            return at + Int(length)
        case 5: return at + 4
        default: throw WrongAnswer("the answer is no protobuf message")
        }
    }

    private static func varint(_ bytes: UnsafeRawBufferPointer, _ at: inout Int) throws(WrongAnswer) -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while at < bytes.count {
            guard shift < 64 else { throw WrongAnswer("the answer is no protobuf message") }
            let byte = bytes[at]
            at += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        return nil
    }
}
