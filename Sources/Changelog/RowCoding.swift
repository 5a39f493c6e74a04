// Owns: how rows of the log and its head travel in PostgreSQL's binary format, both ways.
internal import Bytes
internal import Keyspace
internal import Replica

extension Parameters {
    /// The parameters of `LogStatements.append`, for the rows of the first piece. All columns are laid out beforehand and filled in one
    /// pass over the rows.
    static func append(_ batch: AppendBatch, rows range: Range<Int>? = nil) -> Parameters {
        columns(of: batch.rows[range ?? batch.rows.indices]) { writer in
            writer.add(batch.newHead.position.revision)
            writer.add(batch.newHead.position.sub)
            writer.add(batch.newHead.digest.rawValue)
            writer.add(batch.newHead.compactRevision)
            writer.add(batch.expectedDigest.rawValue)
            writer.add(batch.expectedEpoch)
        } before: { writer in
            // The head moves past the rows of all pieces at once.
            let isHashed = batch.rows.allSatisfy(\.hash.isKnown)
            writer.add(isHashed ? batch.rows.reduce(RowHash.zero) { $0 + $1.hash }.rawValue : 0)
        }
    }

    /// The parameters of `LogStatements.appendMore`, for the rows of a later piece.
    static func appendMore(_ batch: AppendBatch, rows range: Range<Int>) -> Parameters {
        columns(of: batch.rows[range]) { writer in
            writer.add(batch.newHead.digest.rawValue)
            writer.add(batch.expectedEpoch)
        }
    }

    private static func columns(
        of rows: ArraySlice<LogRow>, after head: (inout ParameterWriter) -> Void, before end: (inout ParameterWriter) -> Void = { _ in }
    ) -> Parameters {
        rows.withUnsafeBufferPointer { rows in
            var (keyBytes, valueBytes) = (0, 0)
            for index in rows.indices {
                keyBytes += rows[index].key.count
                valueBytes += rows[index].value.count
            }
            let isHashed = rows.allSatisfy(\.hash.isKnown)
            let layout = AppendLayout(rowCount: rows.count, keyBytes: keyBytes, valueBytes: valueBytes, isHashed: isHashed)
            return .build(capacity: 80 + layout.size) { writer in
                head(&writer)
                writer.add(columnsOf: layout.sizes) { base in layout.fill(base, with: rows) }
                end(&writer)
            }
        }
    }

    /// What a deletion deletes, after those of `before` and up to those of `new`.
    static func deletion(_ deletion: Deletion, after before: Digest, digest new: Digest) -> Parameters {
        // In the order of the primary key, which is that of the pages.
        let positions = deletion.positions.sorted()
        return .build(capacity: 192 + positions.count * 20) { writer in
            writer.array(of: TypeID.int8, positions) { $0.element($1.revision) }
            writer.array(of: TypeID.int4, positions) { $0.element($1.sub) }
            writer.add(deletion.compactRevision)
            writer.add(deletion.swept.compactRevision)
            writer.add(deletion.swept.position.revision)
            writer.add(deletion.swept.position.sub)
            writer.add(before.rawValue)
            writer.add(new.rawValue)
            writer.add(deletion.holder)
        }
    }

    /// Two parallel arrays that name rows by primary key.
    static func positions(_ positions: [Position]) -> Parameters {
        .build(capacity: 64 + positions.count * 20) { writer in
            writer.array(of: TypeID.int8, positions) { $0.element($1.revision) }
            writer.array(of: TypeID.int4, positions) { $0.element($1.sub) }
        }
    }

    static func position(_ position: Position) -> Parameters {
        .build { writer in
            writer.add(position.revision)
            writer.add(position.sub)
        }
    }
}

/// Where the arrays of an append go: one for each column of the changelog, in the table's order, one after the other.
private struct AppendLayout {
    private static let types = [
        TypeID.int8, TypeID.int4, TypeID.int2, TypeID.bytea, TypeID.bytea, TypeID.int8, TypeID.int8, TypeID.int8, TypeID.int8, TypeID.int8,
    ]
    /// In bytes, of each array.
    let sizes: [Int]
    private let rowCount: Int
    /// Whether the rows have hashes; else there is an empty array for them.
    private let isHashed: Bool

    var size: Int { sizes.reduce(0, +) }

    init(rowCount: Int, keyBytes: Int, valueBytes: Int, isHashed: Bool) {
        self.rowCount = rowCount
        self.isHashed = isHashed
        let lengthWords = 4 * rowCount
        let content = [8 * rowCount, 4 * rowCount, 2 * rowCount, keyBytes, valueBytes] + Array(repeating: 8 * rowCount, count: 4)
        sizes = content.map { ArrayCursor.headerSize + lengthWords + $0 } + [ArrayCursor.headerSize + (isHashed ? 12 * rowCount : 0)]
    }

    func fill(_ base: UnsafeMutableRawPointer, with rows: UnsafeBufferPointer<LogRow>) {
        var at = base
        func next(_ column: Int) -> ArrayCursor {
            defer { at += sizes[column] }
            return ArrayCursor(at, of: Self.types[column], count: column < 9 || isHashed ? rowCount : 0)
        }
        var (revisions, subs, kinds) = (next(0), next(1), next(2))
        var (keys, values) = (next(3), next(4))
        var (createRevisions, versions, leases, origins) = (next(5), next(6), next(7), next(8))
        var hashes = next(9)
        for index in rows.indices {
            revisions.put(rows[index].position.revision)
            subs.put(rows[index].position.sub)
            kinds.put(rows[index].kind.rawValue)
            keys.put(rows[index].key)
            values.put(rows[index].value)
            createRevisions.put(rows[index].createRevision)
            versions.put(rows[index].version)
            leases.put(rows[index].lease)
            origins.put(rows[index].origin)
            if isHashed { hashes.put(rows[index].hash.rawValue) }
        }
        invariant(hashes.at == base + size, "the arrays of an append are not as large as laid out")
    }
}

extension PostgresResult {
    /// How far deleting has come, as compact revision, revision and sub, from the column `first` on.
    func sweep(_ row: Int, from first: Int) throws(LogError) -> Sweep {
        Sweep(
            compactRevision: try integer(row, first), position: Position(try integer(row, first + 1), try integer(row, first + 2)))
    }

    /// What the table `sweep` says, from the first column on.
    func sweepState() throws(LogError) -> SweepState {
        guard rowCount == 1 else { throw LogError.malformed("the table sweep has \(rowCount) rows") }
        return SweepState(swept: try sweep(0, from: 0), begun: try integer(0, 3), digest: Digest(rawValue: try integer(0, 4)))
    }

    /// The head from a row whose first six columns are those of the head table.
    func head(_ row: Int) throws(LogError) -> Head {
        Head(
            clusterID: try integer(row, 0), position: Position(try integer(row, 1), try integer(row, 2)),
            digest: Digest(rawValue: try integer(row, 3)), epoch: try integer(row, 4), compactRevision: try integer(row, 5))
    }

    /// The head where it comes as one of the rows: its position first, cluster id, digest, epoch and compact revision from `column` on.
    func head(_ row: Int, restFrom column: Int) throws(LogError) -> Head {
        Head(
            clusterID: try integer(row, column), position: Position(try integer(row, 0), try integer(row, 1)),
            digest: Digest(rawValue: try integer(row, column + 1)), epoch: try integer(row, column + 2),
            compactRevision: try integer(row, column + 3))
    }

    /// A row of the log, whose columns start at `first`. Its value is kept, its key is not: each has storage of its own.
    func logRow(_ row: Int, from first: Int, hashColumn: Int? = nil) throws(LogError) -> LogRow {
        let kindNumber: Int16 = try integer(row, first + 2)
        guard let kind = RowKind(rawValue: kindNumber) else {
            throw LogError.malformed("a row of kind \(kindNumber), which a newer Pine may have written")
        }
        var read = LogRow(
            position: Position(try integer(row, first), try integer(row, first + 1)), kind: kind,
            key: ByteString(copying: bytes(row, first + 3)), value: ByteString(copying: bytes(row, first + 4)),
            createRevision: try integer(row, first + 5), version: try integer(row, first + 6),
            lease: try integer(row, first + 7), origin: try integer(row, first + 8))
        if let hashColumn { read.hash = try rowHash(row, hashColumn) }
        return read
    }

    /// The hash of a row, unknown where the column is null.
    func rowHash(_ row: Int, _ column: Int) throws(LogError) -> RowHash {
        isNull(row, column) ? .unknown : RowHash(rawValue: try integer(row, column))
    }

    /// What `LogStatements.readRecent` gives after `position`, up to the first large row; nil where that comes first.
    func recentTail(after position: Position, limit: Int) throws(LogError) -> Tail? {
        var head: Head?
        var rows: [LogRow] = []
        rows.reserveCapacity(rowCount)
        var firstLarge: Position?
        for index in 0..<rowCount {
            let at = Position(try integer(index, 0), try integer(index, 1))
            if try integer(index, 2, as: Int16.self) == 0 {
                head = try self.head(index, restFrom: 5)
            } else if isNull(index, 3) {
                firstLarge = min(firstLarge ?? at, at)
            } else {
                rows.append(try logRow(index, from: 0))
            }
        }
        guard let head else { throw LogError.malformed("the head table is empty; was it truncated?") }
        let cut = rowCount > limit || firstLarge != nil
        // Both halves come in order in PostgreSQL; SQL itself does not promise that.
        if !zip(rows, rows.dropFirst()).allSatisfy({ $0.position < $1.position }) { rows.sort { $0.position < $1.position } }
        if let firstLarge { rows.removeAll { $0.position > firstLarge } }
        guard let last = rows.last else { return cut ? nil : Tail(head: head, rows: [], reachesHead: true) }
        guard position < rows[0].position else { throw LogError.malformed("rows up to the position that was asked for") }
        return Tail(head: head, rows: rows, reachesHead: !cut || last.position == head.position)
    }

    /// What `LogStatements.readTail` gives after `position`.
    func tail(
        after position: Position, limit: Int, chunkByteLimit: Int, hashColumn: Int? = nil
    ) throws(LogError) -> Tail {
        guard rowCount > 0 else { throw LogError.malformed("the head table is empty; was it truncated?") }
        let head = try head(0)
        if isNull(0, 6) { return Tail(head: head, rows: [], reachesHead: true) }
        var rows: [LogRow] = []
        rows.reserveCapacity(rowCount)
        var last = position
        var inOrder = true
        var byteCount = 0
        for index in 0..<rowCount {
            let row = try logRow(index, from: 6, hashColumn: hashColumn)
            inOrder = inOrder && last < row.position
            last = row.position
            byteCount += row.key.count + row.value.count
            rows.append(row)
        }
        // An ordered subquery keeps its order through a join in PostgreSQL; SQL itself does not promise that.
        if !inOrder { rows.sort { $0.position < $1.position } }
        guard let first = rows.first, position < first.position else {
            throw LogError.malformed("rows up to the position that was asked for")
        }
        // The row at the head's position may be compacted away, so reaching the head can also show by the limits not cutting.
        let cut = rows.count >= limit || byteCount >= chunkByteLimit
        return Tail(head: head, rows: rows, reachesHead: !cut || rows[rows.count - 1].position == head.position)
    }
}
