// Owns: what `pine status` has found out, and how it looks. The names in the JSON are kept from release to release.
import Changelog
internal import EtcdAPI
import Foundation
import Keyspace

struct StatusReport: Encodable {
    var database: DatabaseStatus?
    var endpoints: [MemberStatus]?

    var text: String { [database?.text, endpoints.map(MemberStatus.text)].compactMap { $0 }.joined(separator: "\n") }

    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}

/// The store as the database has it.
struct DatabaseStatus: Encodable {
    struct Member: Encodable {
        let id: String
        let name: String
        let clientUrls: [String]
        let seenAgoMs: Int
        let isSteward: Bool
    }

    struct Table: Encodable {
        let name: String
        let rows: Int64?
        let deadRows: Int64
        let tableBytes: Int64
        let longValueBytes: Int64
        let indexBytes: Int64
        let vacuumedAgoMs: Int64?
    }

    let schema: String
    let postgresVersion: String
    let schemaVersion: Int
    let behindPooler: Bool
    let clusterId: String
    let revision: Revision
    let compactRevision: Revision
    /// False while the steward is still deleting what compaction made dead.
    let isSwept: Bool
    /// Raised by each failover or lost commit.
    let epoch: Int64
    let digest: String
    let oldestRevision: Revision?
    let members: [Member]
    let stewardId: String?
    let leases: Int64
    let overdueLeases: Int64
    let totalBytes: Int64
    let tables: [Table]
    let longTransactions: Int64

    init(_ report: DatabaseReport, schema: String) {
        let steward = report.steward.flatMap { $0.forMs > 0 ? $0.id : nil }
        self.schema = schema
        // From 10 on, server_version_num is the major version times 10,000 and the minor one.
        postgresVersion = "\(report.serverVersion / 10_000).\(report.serverVersion % 10_000)"
        schemaVersion = report.schemaVersion
        behindPooler = report.isPooled
        clusterId = hex(report.head.clusterID)
        revision = report.head.position.revision
        compactRevision = report.head.compactRevision
        isSwept = (report.sweptCompactRevision ?? 0) >= max(report.head.compactRevision, 0)
        epoch = report.head.epoch
        digest = hex(report.head.digest.rawValue)
        oldestRevision = report.oldestRevision
        members = report.members.map {
            Member(
                id: hex($0.id), name: $0.name, clientUrls: $0.clientURLs,
                seenAgoMs: Int($0.age.components.seconds * 1_000)
                    + Int($0.age.components.attoseconds / 1_000_000_000_000_000), isSteward: $0.id == steward)
        }
        stewardId = steward.map(hex)
        leases = report.leases
        overdueLeases = report.overdueLeases
        tables = report.tables.map {
            Table(
                name: $0.name, rows: $0.rows, deadRows: $0.deadRows, tableBytes: $0.tableBytes, longValueBytes: $0.longValueBytes,
                indexBytes: $0.indexBytes, vacuumedAgoMs: $0.vacuumedAgoMs)
        }
        totalBytes = tables.reduce(0) { $0 + $1.tableBytes + $1.longValueBytes + $1.indexBytes }
        longTransactions = report.longTransactions
    }

    var text: String {
        var out = ""
        func line(_ name: String, _ value: String) { out += "\(name):".padded(to: 12) + " \(value)\n" }
        line(
            "Database",
            "PostgreSQL \(postgresVersion)\(behindPooler ? ", behind a connection pooler" : ""), schema \(schema), "
                + "tables at version \(schemaVersion), \(bytes(totalBytes))")
        line("Cluster", "\(clusterId), digest \(digest), epoch \(epoch)")
        let compacted =
            compactRevision > 0 ? "compacted below \(compactRevision)\(isSwept ? "" : ", dead rows being deleted")" : "never compacted"
        line("Revision", "\(revision), \(compacted)\(oldestRevision.map { ", oldest row of \($0)" } ?? "")")
        line("Leases", "\(leases)\(overdueLeases > 0 ? ", of these \(overdueLeases) overdue" : "")")
        if longTransactions > 0 {
            line("Attention", "transactions open for more than a minute: \(longTransactions); VACUUM can't clear away what they may see")
        }
        if stewardId == nil { line("Steward", "none") }
        out +=
            "\n"
            + TextTable(
                ["MEMBER", "NAME", "CLIENT URLS", "SEEN", "STEWARD"],
                members.map {
                    [$0.id, $0.name, $0.clientUrls.joined(separator: ","), "\(age($0.seenAgoMs)) ago", $0.isSteward ? "yes" : ""]
                }
            ).text
        out +=
            "\n"
            + TextTable(
                ["TABLE", "ROWS", "DEAD", "SIZE", "LONG VALUES", "INDEXES", "VACUUMED"],
                tables.map {
                    [
                        $0.name, $0.rows.map { "about \($0)" } ?? "unknown", "\($0.deadRows)", bytes($0.tableBytes),
                        bytes($0.longValueBytes),
                        bytes($0.indexBytes), $0.vacuumedAgoMs.map { "\(age(Int($0))) ago" } ?? "never",
                    ]
                }
            ).text
        return out
    }
}

/// As etcdctl shows ids.
func hex(_ number: some FixedWidthInteger) -> String { String(UInt64(truncatingIfNeeded: number), radix: 16) }

/// 12.3 MiB: two or three digits that matter.
func bytes(_ count: Int64) -> String {
    var value = Double(count)
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1_024 { return unit == "B" ? "\(count) B" : "\(number(value)) \(unit)" }
        value /= 1_024
    }
    return "\(number(value)) TiB"
}

private func number(_ value: Double) -> String { String(format: value < 100 ? "%.1f" : "%.0f", value) }

func age(_ milliseconds: Int) -> String {
    switch milliseconds {
    case ..<120_000: "\(milliseconds / 1_000) s"
    case ..<7_200_000: "\(milliseconds / 60_000) min"
    case ..<172_800_000: "\(milliseconds / 3_600_000) h"
    default: "\(milliseconds / 86_400_000) d"
    }
}

/// Columns as wide as their widest cell, two spaces apart.
struct TextTable {
    let text: String

    init(_ heading: [String], _ rows: [[String]]) {
        let all = [heading] + rows
        let widths = heading.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        text = all.map { row in
            let cells = row.indices.map { row[$0].padded(to: widths[$0]) }
            return String(cells.joined(separator: "  ").reversed().drop { $0 == " " }.reversed()) + "\n"
        }.joined()
    }
}

extension String {
    func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
