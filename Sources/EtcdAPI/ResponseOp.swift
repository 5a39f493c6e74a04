// Owns: a transaction's answer, the union of its operations' answers.
package import Bytes

/// What one operation of a transaction answered.
package enum ResponseOp: WireMessage {
    case range(RangeResponse)
    case put(PutResponse)
    case deleteRange(DeleteRangeResponse)
    case txn(TxnResponse)
    /// No member of the union is set.
    case empty

    package init() { self = .empty }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            // The same member again merges, another one replaces. What merges is moved out first, or its arrays would be copied
            // with each occurrence.
            switch (tag.field, tag.type) {
            case (1, .bytes):
                var response = RangeResponse()
                if case .range(let earlier) = self { response = earlier }
                self = .empty
                try reader.merge(bytes, into: &response)
                self = .range(response)
            case (2, .bytes):
                var response = PutResponse()
                if case .put(let earlier) = self { response = earlier }
                try reader.merge(bytes, into: &response)
                self = .put(response)
            case (3, .bytes):
                var response = DeleteRangeResponse()
                if case .deleteRange(let earlier) = self { response = earlier }
                self = .empty
                try reader.merge(bytes, into: &response)
                self = .deleteRange(response)
            case (4, .bytes):
                var response = TxnResponse()
                if case .txn(let earlier) = self { response = earlier }
                self = .empty
                try reader.merge(bytes, into: &response)
                self = .txn(response)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        switch self {
        case .range(let response): writer.appendMessage(1, response)
        case .put(let response): writer.appendMessage(2, response)
        case .deleteRange(let response): writer.appendMessage(3, response)
        case .txn(let response): writer.appendMessage(4, response)
        case .empty: break
        }
    }
}

/// What a transaction did.
package struct TxnResponse: WireMessage {
    package var header: ResponseHeader?
    /// All compares held, so `success` ran.
    package var succeeded = false
    /// One for each operation of the branch that ran, in order.
    package var responses: [ResponseOp] = []

    package init() {}

    package init(header: ResponseHeader? = nil, succeeded: Bool = false, responses: [ResponseOp] = []) {
        self.header = header
        self.succeeded = succeeded
        self.responses = responses
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .bytes): try reader.merge(bytes, into: &header)
            case (2, .varint): succeeded = try reader.bool(bytes)
            case (3, .bytes): try reader.append(bytes, to: &responses)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendMessage(1, header)
        writer.appendBool(2, succeeded)
        writer.appendRepeated(3, responses)
    }
}
