// Owns: transactions as requests, the union of their operations.
package import Bytes

/// One operation of a transaction.
package enum RequestOp: WireMessage {
    case range(RangeRequest)
    case put(PutRequest)
    case deleteRange(DeleteRangeRequest)
    case txn(TxnRequest)
    /// No member of the union is set.
    case empty

    package init() { self = .empty }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            // The same member again merges, another one replaces. What merges is moved out first, or a transaction's arrays
            // would be copied with each occurrence.
            switch (tag.field, tag.type) {
            case (1, .bytes):
                var request = RangeRequest()
                if case .range(let earlier) = self { request = earlier }
                try reader.merge(bytes, into: &request)
                self = .range(request)
            case (2, .bytes):
                var request = PutRequest()
                if case .put(let earlier) = self { request = earlier }
                try reader.merge(bytes, into: &request)
                self = .put(request)
            case (3, .bytes):
                var request = DeleteRangeRequest()
                if case .deleteRange(let earlier) = self { request = earlier }
                try reader.merge(bytes, into: &request)
                self = .deleteRange(request)
            case (4, .bytes):
                var request = TxnRequest()
                if case .txn(let earlier) = self { request = earlier }
                self = .empty
                try reader.merge(bytes, into: &request)
                self = .txn(request)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        switch self {
        case .range(let request): writer.appendMessage(1, request)
        case .put(let request): writer.appendMessage(2, request)
        case .deleteRange(let request): writer.appendMessage(3, request)
        case .txn(let request): writer.appendMessage(4, request)
        case .empty: break
        }
    }
}

/// Compares, then runs one branch or the other, atomically and at one revision.
package struct TxnRequest: WireMessage {
    /// All must hold for `success` to run.
    package var compare: [Compare] = []
    package var success: [RequestOp] = []
    package var failure: [RequestOp] = []

    package init() {}

    package init(compare: [Compare] = [], success: [RequestOp] = [], failure: [RequestOp] = []) {
        self.compare = compare
        self.success = success
        self.failure = failure
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.append(bytes, to: &compare)
            case (2, .bytes): try reader.append(bytes, to: &success)
            case (3, .bytes): try reader.append(bytes, to: &failure)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendRepeated(1, compare)
        writer.appendRepeated(2, success)
        writer.appendRepeated(3, failure)
    }
}
