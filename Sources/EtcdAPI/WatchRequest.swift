// Owns: the union of what a client may send on a watch stream.
package import Bytes

/// What a client sends on a watch stream.
package enum WatchRequest: WireMessage {
    case create(WatchCreateRequest)
    case cancel(WatchCancelRequest)
    case progress(WatchProgressRequest)
    /// No member of the union is set: etcd takes no notice.
    case empty

    package init() { self = .empty }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            // The same member again merges, another one replaces.
            switch (tag.field, tag.type) {
            case (1, .bytes):
                var request = WatchCreateRequest()
                if case .create(let earlier) = self { request = earlier }
                // Or the filters would be copied with each occurrence.
                self = .empty
                try reader.merge(bytes, into: &request)
                self = .create(request)
            case (2, .bytes):
                var request = WatchCancelRequest()
                if case .cancel(let earlier) = self { request = earlier }
                try reader.merge(bytes, into: &request)
                self = .cancel(request)
            case (3, .bytes):
                var request = WatchProgressRequest()
                try reader.merge(bytes, into: &request)
                self = .progress(request)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        switch self {
        case .create(let request): writer.appendMessage(1, request)
        case .cancel(let request): writer.appendMessage(2, request)
        case .progress(let request): writer.appendMessage(3, request)
        case .empty: break
        }
    }
}
