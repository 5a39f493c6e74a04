// Owns: the pieces of answers that depend on how the store executes: headers whose revision is known late, versions.
package import Bytes
package import EtcdAPI

extension ByteWriter {
    /// The header of a whole answer.
    package mutating func appendHeader(_ header: ResponseHeader, revision: Revision) {
        var header = header
        header.revision = revision
        appendHeader(header)
    }

    /// The header of an answer inside a transaction's, which says nothing but the revision.
    mutating func appendNestedHeader(revision: Revision) {
        appendHeader(ResponseHeader(revision: revision))
    }

    /// A header whose revision may turn out to be one less. Give the result to `patchHeader`.
    mutating func appendPatchableHeader(_ header: ResponseHeader, revision: Revision) -> Int {
        let start = count
        appendHeader(header, revision: revision)
        return start
    }

    /// Writes the header that starts at `start` anew, where nothing else but its revision differs.
    mutating func patchHeader(at start: Int, _ header: ResponseHeader, from old: Revision, to new: Revision) {
        guard old != new else { return }
        var before = ByteWriter(capacity: 64)
        before.appendHeader(header, revision: old)
        var after = ByteWriter(capacity: 64)
        after.appendHeader(header, revision: new)
        replace(start..<start + before.count, with: after.finish())
    }

    mutating func appendKeyValue(_ field: Int, key: ByteString, version: borrowing KeyVersion, _ lookup: inout ValueLookup) {
        appendKeyValue(
            field, key: key, createRevision: version.createRevision, modRevision: version.position.revision, version: version.version,
            value: lookup.value(of: version, key: key), lease: version.lease)
    }
}
