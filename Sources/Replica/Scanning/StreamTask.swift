// Owns: one RangeStream under way: chunk after chunk at one revision.
// Must never: make a chunk that its client has not asked for, by taking the one before.
internal import Bytes
internal import Calls
internal import EtcdAPI
internal import Keyspace

/// A class, since the writer that grows inside can't be moved about in an array.
final class StreamTask {
    let id: CallID
    private var scan: RangeScan
    private let header: ResponseHeader
    private let headerRevision: Revision
    private var writer = ByteWriter(capacity: 1024)
    /// Whether the client has taken all chunks.
    var isReady = true

    init(id: CallID, scan: RangeScan, header: ResponseHeader, revision: Revision) {
        self.id = id
        self.scan = scan
        self.header = header
        headerRevision = revision
    }

    var revision: Revision { scan.revision }

    /// Where a step ends.
    enum Step {
        case unfinished
        case lacks([MissingValue])
        case chunk(ByteString)
        case last(ByteString)
    }

    func step(_ index: borrowing KeyIndex, _ lookup: inout ValueLookup, visits: inout Int, chunkBytes: Int) -> Step {
        let done = scan.step(index, &lookup, visits: &visits, byteLimit: chunkBytes, into: &writer)
        if lookup.hasMissing { return .lacks(lookup.takeMissing()) }
        if !done && writer.count < chunkBytes { return .unfinished }
        var body = ByteWriter(capacity: done ? 0 : chunkBytes)
        swap(&body, &writer)
        // Header, more and count come with the last chunk, as etcd sends them.
        var message = ByteWriter(capacity: body.count + 64)
        let response = message.beginMessage(1)
        if done { message.appendHeader(header, revision: headerRevision) }
        message.append(body.finish())
        message.endMessage(response)
        return done ? .last(message.finish()) : .chunk(message.finish())
    }
}
