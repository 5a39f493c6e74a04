// Owns: what every answer begins with.
package import Bytes

/// Who answered, and as of which revision.
package struct ResponseHeader: WireMessage {
    package var clusterID: UInt64 = 0
    /// The member that answered.
    package var memberID: UInt64 = 0
    /// The store's revision when the answer was made; for a watch, that of the events or of the progress.
    package var revision: Revision = 0
    /// etcd's election counter. Clients only compare it.
    package var raftTerm: UInt64 = 0

    package init() {}

    package init(clusterID: UInt64 = 0, memberID: UInt64 = 0, revision: Revision = 0, raftTerm: UInt64 = 0) {
        self.clusterID = clusterID
        self.memberID = memberID
        self.revision = revision
        self.raftTerm = raftTerm
    }

    package mutating func merge(_ bytes: ByteString, _ reader: inout WireReader) throws(DecodeError) {
        while let tag = try reader.nextTag(bytes) {
            switch (tag.field, tag.type) {
            case (1, .varint): clusterID = try reader.varint(bytes)
            case (2, .varint): memberID = try reader.varint(bytes)
            case (3, .varint): revision = try reader.int64(bytes)
            case (4, .varint): raftTerm = try reader.varint(bytes)
            default: try reader.skip(bytes, tag)
            }
        }
    }

    package func encode(into writer: inout ByteWriter) {
        writer.appendUInt64(1, clusterID)
        writer.appendUInt64(2, memberID)
        writer.appendInt64(3, revision)
        writer.appendUInt64(4, raftTerm)
    }
}
