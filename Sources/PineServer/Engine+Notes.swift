// Owns: what the operator hears of what the replica notes.
internal import Bytes
internal import Keyspace
internal import Replica

internal import struct Logging.Logger

extension Engine {
    func report(_ note: Note) {
        switch note {
        case .serving(let revision, let keys):
            logger.info("serving", metadata: ["revision": "\(revision)", "keys": "\(keys)"])
        case .appendLost(let reason):
            logger.warning(
                "lost the connection during an append; asking the log whether it was committed", metadata: ["reason": "\(reason)"])
        case .appendRecovered(let committed):
            logger.info("the lost append \(committed ? "was committed" : "was not committed and is done again")")
        case .historyChanged(let position):
            logger.error(
                "the log's history changed under us (a failover that lost its end, or a restored backup): loading it anew",
                metadata: ["revision": "\(position.revision)"])
        case .becameSteward(let leases):
            logger.info(
                """
                this member is the steward: it expires leases, which have their full time from now, and deletes what compaction \
                made dead
                """, metadata: ["leases": "\(leases)"])
        case .revisionRaised(let from, let to):
            logger.notice(
                """
                the log lacked what had been served: its revision was raised past that, and everything before is compacted, so that \
                clients list again instead of missing what is different
                """, metadata: ["from": "\(from)", "to": "\(to)"])
        case .overtaken(let position):
            logger.warning(
                "others have compacted past what this process has read of the log: loading it anew",
                metadata: ["revision": "\(position.revision)"])
        case .deletionsLost:
            logger.warning(
                "dead rows may be left of which this member has forgotten that they are dead (PostgreSQL lost deletions in a failover, or the steward's duty lapsed): loading the log anew"
            )
        case .autoCompacted(let revision):
            logger.info("compacted: the retention is over", metadata: ["revision": "\(revision)"])
        case .autoCompactionFailed(let error):
            logger.warning("could not compact; trying again later", metadata: ["reason": "\(error)"])
        case .sweeping(let deleted, let left):
            logger.info(
                "deleting what compaction made dead", metadata: ["deleted": "\(deleted)", "left": "about \(left) superseded rows"])
        case .swept(let deleted, let revision):
            logger.info(
                "deleted what compaction made dead; PostgreSQL's autovacuum makes the space free",
                metadata: ["deleted": "\(deleted)", "compacted": "\(revision)"])
        case .spaceExceeded(let bytes, let quota):
            logger.warning(
                "the quota is used up: refusing writes until keys are deleted and compacted",
                metadata: ["bytes": "\(bytes)", "quota": "\(quota)"])
        case .spaceFreed(let bytes, let quota):
            logger.info("there is space again: writes are served", metadata: ["bytes": "\(bytes)", "quota": "\(quota)"])
        case .readFailed(let reason):
            logger.warning("could not read the log", metadata: ["reason": "\(reason)"])
        case .logDamaged(let position, let retryMs):
            logger.critical(
                """
                the log's rows do not add up to its digest: the tables were changed by other hands or are damaged. Not \
                serving; restore a backup
                """, metadata: ["revision": "\(position.revision)", "looking_again_in": "\(Duration.milliseconds(retryMs).brief)"])
        }
    }
}
