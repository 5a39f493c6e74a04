// Owns: the context that new connections get, and when the files behind it are read again.
// Must never: take the old context away before a new one stands, or read files that have not changed.
internal import Glibc
internal import Logging
internal import Synchronization

/// Any thread may ask. Each asking looks at the files' dates, which takes some microseconds; a handshake takes hundreds.
final class TLSFiles: Sendable {
    private let settings: TLSSettings
    private let logger: Logger
    private let state: Mutex<State>

    private struct State {
        var context: TLSContext
        /// The files of `context`.
        var stamps: [FileStamp?]
        /// Files that could not be used, and when to try them again even if they look the same.
        var refusedStamps: [FileStamp?]?
        var retryAt: ContinuousClock.Instant
    }

    private static let retryInterval = Duration.seconds(1)
    private static let expiryNotice: Int64 = 7 * 86_400

    init(_ settings: TLSSettings, logger: Logger) throws(TLSError) {
        self.settings = settings
        self.logger = logger
        // Before the files are read: what changes in between is noticed later.
        let stamps = TLSFiles.stamps(of: settings)
        let context = try TLSContext(settings)
        state = Mutex(State(context: context, stamps: stamps, refusedStamps: nil, retryAt: .now))
        report(context.certificate, "serving TLS")
    }

    /// The context of the files as they are now, or as they were when they last made sense.
    func current() -> TLSContext {
        let stamps = TLSFiles.stamps(of: settings)
        return state.withLock { state in
            if stamps == state.stamps { return state.context }
            if stamps == state.refusedStamps && ContinuousClock.now < state.retryAt { return state.context }
            do throws(TLSError) {
                state.context = try TLSContext(settings)
                state.stamps = stamps
                state.refusedStamps = nil
                report(state.context.certificate, "the certificates have changed and were read again")
            } catch {
                let isNews = state.refusedStamps != stamps
                state.refusedStamps = stamps
                state.retryAt = .now + TLSFiles.retryInterval
                if isNews {
                    logger.error(
                        "the certificates have changed, but can't be used; serving with the former ones",
                        metadata: ["reason": "\(error)"])
                }
            }
            return state.context
        }
    }

    private func report(_ certificate: CertificateSummary, _ message: Logger.Message) {
        logger.info(message, metadata: ["certificate": "\(certificate.subject)", "expires": "\(certificate.expiry)"])
        let left = certificate.expiresAt - Int64(time(nil))
        if left <= 0 {
            logger.error("the certificate has expired: clients will refuse it", metadata: ["expires": "\(certificate.expiry)"])
        } else if left < TLSFiles.expiryNotice {
            logger.warning("the certificate expires soon", metadata: ["expires": "\(certificate.expiry)"])
        }
    }

    private static func stamps(of settings: TLSSettings) -> [FileStamp?] {
        [settings.certificateFile, settings.keyFile, settings.trustedCAFile, settings.revocationListFile].map { path in
            path.flatMap { FileStamp($0) }
        }
    }
}

/// What differs when a file was written or replaced. Links are followed, as Kubernetes' secrets are.
private struct FileStamp: Equatable {
    let device: UInt
    let inode: UInt
    let size: Int
    let changedSeconds: Int
    let changedNanoseconds: Int

    /// nil where there is no such file.
    init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        device = UInt(status.st_dev)
        inode = UInt(status.st_ino)
        size = Int(status.st_size)
        changedSeconds = status.st_ctim.tv_sec
        changedNanoseconds = status.st_ctim.tv_nsec
    }
}
