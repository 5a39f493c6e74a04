// Owns: reading OpenSSL's error queue. Must never: leave anything in it, since the queue is the thread's, not the connection's.
internal import COpenSSL

struct OpenSSLError {
    /// The oldest entry, which is the cause; 0 where there is none.
    let code: UInt

    /// Takes the first error and forgets the others.
    static func take() -> OpenSSLError {
        let error = OpenSSLError(code: ERR_get_error())
        ERR_clear_error()
        return error
    }

    var isVerificationFailure: Bool { reason == SSL_R_CERTIFICATE_VERIFY_FAILED }

    var isKeyMismatch: Bool { reason == X509_R_KEY_VALUES_MISMATCH || reason == X509_R_KEY_TYPE_MISMATCH }

    private var reason: Int32 { pine_err_reason(code) }

    /// OpenSSL's words for it, for example `no shared cipher`.
    var text: String {
        if code == 0 { return "the connection broke off" }
        if let reason = ERR_reason_error_string(code) { return String(cString: reason) }
        // Errors of the system come without a text of OpenSSL's.
        var buffer = [CChar](repeating: 0, count: 256)
        ERR_error_string_n(code, &buffer, buffer.count)
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
