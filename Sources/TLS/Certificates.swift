// Owns: what is read from certificates and lists of revoked ones: whose, until when, which serial numbers.
internal import COpenSSL
internal import Glibc

/// What an operator wants to know of a certificate.
struct CertificateSummary: Equatable {
    let subject: String
    /// Seconds since 1970.
    let expiresAt: Int64

    init(_ certificate: OpaquePointer?) {
        subject = nameText(certificate.flatMap { X509_get_subject_name($0) })
        var time = tm()
        if let certificate { ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) }
        expiresAt = Int64(timegm(&time))
    }

    /// As `2027-01-31T12:00:00Z`.
    var expiry: String {
        var seconds = time_t(expiresAt)
        var time = tm()
        gmtime_r(&seconds, &time)
        var text = [CChar](repeating: 0, count: 32)
        let count = strftime(&text, text.count, "%Y-%m-%dT%H:%M:%SZ", &time)
        return String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// A distinguished name as one line, as `O=system:masters,CN=admin`.
func nameText(_ name: OpaquePointer?) -> String {
    guard let name, let memory = BIO_new(BIO_s_mem()) else { return "" }
    defer { BIO_free(memory) }
    pine_print_name(memory, name)
    var buffer = [UInt8](repeating: 0, count: 256)
    let count = BIO_read(memory, &buffer, Int32(buffer.count))
    return String(decoding: buffer.prefix(max(0, Int(count))), as: UTF8.self)
}

/// Lists of revoked certificates. As in etcd a certificate is refused by its serial number, whoever issued the list, and a
/// list that is past its date still counts.
final class RevocationLists {
    private var lists: [OpaquePointer] = []

    /// A file of one list in DER form, or of any number in PEM form.
    init(path: String) throws(TLSError) {
        try checkReadable(path)
        guard let file = BIO_new_file(path, "rb") else { throw TLSError("can't read \(path): \(OpenSSLError.take().text)") }
        defer { BIO_free(file) }
        while let list = PEM_read_bio_X509_CRL(file, nil, nil, nil) { lists.append(list) }
        if lists.isEmpty {
            ERR_clear_error()
            guard let again = BIO_new_file(path, "rb") else { throw TLSError("can't read \(path): \(OpenSSLError.take().text)") }
            defer { BIO_free(again) }
            guard let list = d2i_X509_CRL_bio(again, nil) else {
                throw TLSError("\(path) holds no certificate revocation list in PEM or DER form: \(OpenSSLError.take().text)")
            }
            lists.append(list)
        }
        // The end of a PEM file is an error, too.
        ERR_clear_error()
        // The first search sorts the list, which must not happen on two threads at once.
        for list in lists { X509_CRL_sort(list) }
    }

    deinit {
        for list in lists { X509_CRL_free(list) }
    }

    func contain(_ certificate: OpaquePointer) -> Bool {
        guard let serial = X509_get0_serialNumber(certificate) else { return false }
        return lists.contains { list in
            var revoked: OpaquePointer?
            return X509_CRL_get0_by_serial(list, &revoked, UnsafeMutablePointer(mutating: serial)) == 1
        }
    }
}
