// Owns: what one member answers to `pine status`, over the etcd API, within a few seconds.
import Bytes
import EtcdAPI
import EtcdClient
import Foundation
import GRPC
import NIOCore
import NIOPosix
import TLS

/// What an endpoint has said about itself; or why it hasn't.
struct MemberStatus: Encodable, Sendable {
    var endpoint: String
    var error: String?
    var memberId: String?
    var clusterId: String?
    /// The etcd version that clients are told.
    var version: String?
    /// After learning where the log ends: the newest of the whole store at that moment.
    var revision: Revision?
    var totalBytes: Int64?
    var quotaBytes: Int64?
    /// How many members it knows.
    var members: Int?
    /// Raised alarms and other complaints.
    var complaints: [String]?
    var answeredInMs: Double?
    /// From the member's metrics, where they can be had: revisions that it knows of and has not folded,
    var lagRevisions: Int64?
    /// whether it is the steward, which expires leases and deletes dead rows,
    var isSteward: Bool?
    /// and the memory that the process takes.
    var residentBytes: Int64?

    private static let limit = Duration.seconds(5)

    /// Asks all at once; the answers come in the order of the endpoints.
    static func ask(_ urls: [String], _ tls: EndpointTLSOptions) async throws -> [MemberStatus] {
        let endpoints = urls.map { try? tls.endpoint($0) }
        let calls = try tls.connector(for: endpoints.compactMap(\.self))
        let pages = try tls.connector(for: endpoints.compactMap(\.self), pages: true)
        return await withTaskGroup(of: (Int, MemberStatus).self) { group in
            for (index, url) in urls.enumerated() {
                group.addTask { (index, await ask(url, endpoints[index], calls: calls, pages: pages)) }
            }
            return await group.reduce(into: [(Int, MemberStatus)]()) { $0.append($1) }.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    private static func ask(
        _ url: String, _ endpoint: Endpoint?, calls: TLSConnector?, pages: TLSConnector?
    ) async -> MemberStatus {
        var status = MemberStatus(endpoint: url)
        guard let endpoint else {
            status.error = "it is not an address, as http://pine-1:2379 or https://pine-1:2379"
            return status
        }
        do {
            let connection = try await EtcdClientConnection.connect(
                to: endpoint, on: MultiThreadedEventLoopGroup.singleton.next(), userAgent: "pine-status", tls: calls)
            // What is under way ends with the connection.
            let timer = Task {
                try await Task.sleep(for: limit)
                connection.close()
            }
            defer {
                timer.cancel()
                connection.close()
            }
            let began = ContinuousClock.now
            let answer = try await connection.call(.status, StatusRequest(), StatusResponse.self)
            let took = began.duration(to: .now)
            let list = try await connection.call(.memberList, MemberListRequest(), MemberListResponse.self)
            status.memberId = answer.header.map { hex($0.memberID) }
            status.clusterId = answer.header.map { hex($0.clusterID) }
            status.version = String(decoding: Array(answer.version), as: UTF8.self)
            status.revision = answer.header?.revision
            status.totalBytes = answer.dbSize
            status.quotaBytes = answer.dbSizeQuota == 0 ? nil : answer.dbSizeQuota
            status.members = list.members.count
            status.complaints = answer.errors.map { String(decoding: Array($0), as: UTF8.self) }
            status.answeredInMs = Double(took.components.attoseconds) / 1e15 + Double(took.components.seconds) * 1e3
            if let metrics = await MemberMetrics.read(endpoint, pages, within: limit) {
                status.lagRevisions = metrics["pine_fold_lag_revisions"].map { Int64($0) }
                status.isSteward = metrics["pine_steward"].map { $0 == 1 }
                status.residentBytes = metrics["process_resident_memory_bytes"].map { Int64($0) }
            }
        } catch let refusal as GRPCStatus {
            status.error = refusal.message.isEmpty ? "\(refusal.code)" : "\(refusal.code): \(refusal.message)"
        } catch {
            status.error = "it can't be reached: \(error)"
        }
        return status
    }

    static func text(_ all: [MemberStatus]) -> String {
        let rows = all.map { status -> [String] in
            let revision: String = status.revision.map { "\($0)" } ?? ""
            let size: String = status.totalBytes.map { bytes($0) } ?? ""
            let members: String = status.members.map { "\($0)" } ?? ""
            let took: String = status.answeredInMs.map { "\(Int($0.rounded(.up))) ms" } ?? ""
            let lag: String = status.lagRevisions.map { "\($0)" } ?? ""
            let memory: String = status.residentBytes.map { bytes($0) } ?? ""
            let steward: String = status.isSteward == true ? "yes" : ""
            let complaints: String = (status.complaints ?? []).joined(separator: "; ")
            return [
                status.endpoint, status.memberId ?? "", revision, lag, size, memory, members, steward, took, status.error ?? complaints,
            ]
        }
        return TextTable(["ENDPOINT", "ID", "REVISION", "LAG", "STORE", "MEMORY", "MEMBERS", "STEWARD", "ANSWERED IN", "WRONG"], rows).text
    }
}
