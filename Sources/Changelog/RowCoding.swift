// Owns: how rows of the log and its head travel in PostgreSQL's binary format, both ways.
internal import Bytes
internal import Keyspace
internal import Replica

extension Parameters {
    /// The parameters of `LogStatements.append`.
    static func append(_ batch: AppendBatch) -> Parameters {
        let rows = batch.rows
        // Per row: two length words before the bytes, and seven numbers of up to 8 bytes with a length word each.
        var size = 256
        for row in rows { size += 88 + row.key.count + row.value.count }
        return .build(capacity: size) { writer in
            writer.add(batch.newHead.position.revision)
            writer.add(batch.newHead.position.sub)
            writer.add(batch.newHead.digest.rawValue)
            writer.add(batch.newHead.compactRevision)
            writer.add(batch.expectedDigest.rawValue)
            writer.add(batch.expectedEpoch)
            writer.array(of: TypeID.int8, rows) { $0.element($1.position.revision) }
            writer.array(of: TypeID.int4, rows) { $0.element($1.position.sub) }
            writer.array(of: TypeID.int2, rows) { $0.element($1.kind.rawValue) }
            writer.array(of: TypeID.bytea, rows) { $0.element($1.key) }
            writer.array(of: TypeID.bytea, rows) { $0.element($1.value) }
            writer.array(of: TypeID.int8, rows) { $0.element($1.createRevision) }
            writer.array(of: TypeID.int8, rows) { $0.element($1.version) }
            writer.array(of: TypeID.int8, rows) { $0.element($1.lease) }
            writer.array(of: TypeID.int8, rows) { $0.element($1.origin) }
        }
    }

    /// Two parallel arrays that name rows by primary key.
    static func positions(_ positions: some Collection<Position>) -> Parameters {
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

extension PostgresResult {
    /// The head from a row whose first six columns are those of the head table.
    func head(_ row: Int) throws(LogError) -> Head {
        Head(
            clusterID: try integer(row, 0), position: Position(try integer(row, 1), try integer(row, 2)),
            digest: Digest(rawValue: try integer(row, 3)), epoch: try integer(row, 4), compactRevision: try integer(row, 5))
    }

    /// A row of the log, whose columns start at `first`. Key and value share one storage, so that a row is one allocation.
    func logRow(_ row: Int, from first: Int) throws(LogError) -> LogRow {
        let kindNumber: Int16 = try integer(row, first + 2)
        guard let kind = RowKind(rawValue: kindNumber) else {
            throw LogError.malformed("a row of kind \(kindNumber), which a newer Pine may have written")
        }
        let key = bytes(row, first + 3)
        let value = bytes(row, first + 4)
        var writer = ByteWriter(capacity: key.count + value.count)
        writer.append(key)
        writer.append(value)
        let both = writer.finish()
        return LogRow(
            position: Position(try integer(row, first), try integer(row, first + 1)), kind: kind,
            key: both.slice(0..<key.count), value: both.slice(key.count..<both.count),
            createRevision: try integer(row, first + 5), version: try integer(row, first + 6),
            lease: try integer(row, first + 7), origin: try integer(row, first + 8))
    }

    /// What `LogStatements.readTail` gives after `position`.
    func tail(after position: Position, limit: Int, chunkByteLimit: Int) throws(LogError) -> Tail {
        guard rowCount > 0 else { throw LogError.malformed("the head table is empty; was it truncated?") }
        let head = try head(0)
        if isNull(0, 6) { return Tail(head: head, rows: [], reachesHead: true) }
        var rows: [LogRow] = []
        rows.reserveCapacity(rowCount)
        var last = position
        var inOrder = true
        var byteCount = 0
        for index in 0..<rowCount {
            let row = try logRow(index, from: 6)
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
