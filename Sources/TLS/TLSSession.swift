// Owns: one SSL handle and the BIO through which it reads what the peer sent and appends what the peer shall get.
// Must never: be used off its event loop, or after a failure other than to be let go.
// Invariant: whatever `begin(input:)` was given is consumed when `read` or `shakeHands` say that they want more.
internal import Bytes
internal import COpenSSL
internal import NIOCore

/// The two ends of the BIO, at a fixed address, which is the BIO's data.
private struct Transport {
    var input: UnsafeRawPointer?
    var inputCount = 0
    var output = ByteBuffer()
    /// What may be spoken inside, on the side of the server.
    var protocols = ApplicationProtocols([])
    /// Whose certificate was refused, and why.
    var refusal: String?
}

final class TLSSession {
    enum Progress: Equatable {
        /// Everything was consumed; the peer has to send more.
        case wantsMore
        /// The handshake is complete, or the buffer to read into is full: there may be more to read.
        case ready
        /// The peer said that it will send no more.
        case ended
        /// An alert may wait in the output.
        case failed(String)
    }

    private let ssl: OpaquePointer
    /// Keeps the context alive.
    private let context: AnyObject
    private let transport: UnsafeMutablePointer<Transport>

    /// What a record adds to its content at most, and how much content it has at most.
    private static let recordOverhead = 64
    private static let recordSize = 16 << 10

    /// The server's side.
    convenience init(_ context: TLSContext, speaks protocols: ApplicationProtocols) {
        self.init(context, context.handle)
        transport.pointee.protocols = protocols
        SSL_set_accept_state(ssl)
    }

    /// The client's side. The server must be `host`, a name or an address.
    convenience init(_ connector: TLSConnector, host: String) {
        self.init(connector, connector.handle)
        if X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) != 1 {
            SSL_set1_host(ssl, host)
            _ = pine_ssl_set_server_name(ssl, host)
        }
        SSL_set_connect_state(ssl)
    }

    private init(_ context: AnyObject, _ handle: OpaquePointer) {
        self.context = context
        transport = .allocate(capacity: 1)
        transport.initialize(to: Transport())
        let ssl = SSL_new(handle)
        let bio = BIO_new(bioMethod.pointer)
        // Both return nil where memory is out, which nothing here survives.
        invariant(ssl != nil && bio != nil, "OpenSSL has memory for a connection")
        self.ssl = ssl!
        BIO_set_data(bio, transport)
        SSL_set_bio(ssl, bio, bio)
    }

    deinit {
        SSL_free(ssl)
        transport.deinitialize(count: 1)
        transport.deallocate()
    }

    // MARK: In

    /// Sets what `shakeHands` and `read` take from. It must stay valid until `endInput`.
    func begin(input: UnsafeRawBufferPointer) {
        transport.pointee.input = input.baseAddress
        transport.pointee.inputCount = input.count
    }

    func endInput() {
        transport.pointee.input = nil
        transport.pointee.inputCount = 0
    }

    /// Goes on with the handshake.
    func shakeHands() -> Progress {
        ERR_clear_error()
        let result = SSL_do_handshake(ssl)
        return result == 1 ? .ready : progress(after: result)
    }

    /// Decrypts into `buffer` until it is full or nothing is left, and counts in `count` what it got.
    func read(into buffer: UnsafeMutableRawBufferPointer, count: inout Int) -> Progress {
        ERR_clear_error()
        while count < buffer.count {
            let result = SSL_read(ssl, buffer.baseAddress! + count, Int32(clamping: buffer.count - count))
            if result <= 0 { return progress(after: result) }
            count += Int(result)
        }
        return .ready
    }

    private func progress(after result: Int32) -> Progress {
        switch SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ: return .wantsMore
        case SSL_ERROR_ZERO_RETURN: return .ended
        default: return .failed(reason(OpenSSLError.take()))
        }
    }

    private func reason(_ error: OpenSSLError) -> String {
        guard error.isVerificationFailure else { return error.text }
        let problem = X509_verify_cert_error_string(SSL_get_verify_result(ssl))
        return transport.pointee.refusal ?? problem.map { "\(error.text): \(String(cString: $0))" } ?? error.text
    }

    /// Notes why the certificate that `store` judges is refused, for the session that it came to: OpenSSL forgets whose it was.
    static func noteRefusal(_ store: OpaquePointer) {
        let index = SSL_get_ex_data_X509_STORE_CTX_idx()
        guard let ssl = X509_STORE_CTX_get_ex_data(store, index).map({ OpaquePointer($0) }) else { return }
        let problem = String(cString: X509_verify_cert_error_string(Int(X509_STORE_CTX_get_error(store))))
        let subject = X509_STORE_CTX_get0_cert(store).map { nameText(X509_get_subject_name($0)) } ?? ""
        transport(of: ssl).pointee.refusal = "the certificate of \(subject) is refused: \(problem)"
    }

    /// What may be spoken inside the session that `ssl` is.
    static func protocols(of ssl: OpaquePointer) -> ApplicationProtocols { transport(of: ssl).pointee.protocols }

    private static func transport(of ssl: OpaquePointer) -> UnsafeMutablePointer<Transport> {
        BIO_get_data(SSL_get_rbio(ssl)).assumingMemoryBound(to: Transport.self)
    }

    /// The host name that the client asked for, if it did.
    var serverName: String? { pine_ssl_server_name(ssl).map { String(cString: $0) } }

    // MARK: Out

    /// Encrypts `bytes`. False where the session is beyond use.
    func write(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard !bytes.isEmpty else { return true }
        let records = bytes.count / TLSSession.recordSize + 1
        transport.pointee.output.reserveCapacity(minimumWritableBytes: bytes.count + records * TLSSession.recordOverhead)
        ERR_clear_error()
        var rest = bytes
        while !rest.isEmpty {
            let result = SSL_write(ssl, rest.baseAddress, Int32(clamping: rest.count))
            guard result > 0 else {
                ERR_clear_error()
                return false
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[Int(result)...])
        }
        return true
    }

    /// Tells the peer that we send no more.
    func end() {
        ERR_clear_error()
        SSL_shutdown(ssl)
        ERR_clear_error()
    }

    /// What the peer shall get, nil where that is nothing.
    func takeOutput() -> ByteBuffer? {
        guard transport.pointee.output.readableBytes > 0 else { return nil }
        let output = transport.pointee.output
        transport.pointee.output = ByteBuffer()
        return output
    }
}

// MARK: - The BIO

/// Made once, never freed, and only read after that.
private struct BIOMethod: @unchecked Sendable {
    let pointer: OpaquePointer

    init() {
        let method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "pine")
        invariant(method != nil, "OpenSSL has memory for its first object")
        pointer = method!
        BIO_meth_set_create(pointer) { bio in
            BIO_set_init(bio, 1)
            return 1
        }
        BIO_meth_set_read(pointer) { bio, target, capacity in
            let transport = BIO_get_data(bio).assumingMemoryBound(to: Transport.self)
            pine_bio_clear_retry(bio)
            let count = min(Int(capacity), transport.pointee.inputCount)
            guard count > 0, let input = transport.pointee.input, let target else {
                pine_bio_retry_read(bio)
                return -1
            }
            UnsafeMutableRawPointer(target).copyMemory(from: input, byteCount: count)
            transport.pointee.input = input + count
            transport.pointee.inputCount -= count
            return Int32(count)
        }
        BIO_meth_set_write(pointer) { bio, source, count in
            let transport = BIO_get_data(bio).assumingMemoryBound(to: Transport.self)
            transport.pointee.output.writeBytes(UnsafeRawBufferPointer(start: source, count: Int(count)))
            return count
        }
        BIO_meth_set_ctrl(pointer) { _, command, _, _ in command == BIO_CTRL_FLUSH ? 1 : 0 }
    }
}

private let bioMethod = BIOMethod()
